-- Texts mark where values of rows begin and end (`headrace.model.texts`). In texts of before, a value
-- begins where one may: at a quote, in brackets, after an error's class; it has no end. The mark is the
-- noncharacter U+FDD0, which editors don't show.
update look set error =
    substr(replace(replace(replace(replace(replace(replace(' ' || error, ' ''', ' ﷐'''), ' "', ' ﷐"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐'), 2);
update delivery set reason =
    substr(replace(replace(replace(replace(replace(replace(' ' || reason, ' ''', ' ﷐'''), ' "', ' ﷐"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐'), 2);
update attempt set reason =
    substr(replace(replace(replace(replace(replace(replace(' ' || reason, ' ''', ' ﷐'''), ' "', ' ﷐"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐'), 2);
update attempt set error =
    replace(replace(replace(replace(replace(replace(replace(replace(error, ' ''', ' ﷐'''), ' \"', ' ﷐\"'), ':"''', ':"﷐'''), ':"\"', ':"﷐\"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐');
update partition set reason =
    substr(replace(replace(replace(replace(replace(replace(' ' || reason, ' ''', ' ﷐'''), ' "', ' ﷐"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐'), 2);
update overlay set reason =
    substr(replace(replace(replace(replace(replace(replace(' ' || reason, ' ''', ' ﷐'''), ' "', ' ﷐"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐'), 2);
update check_result set detail =
    substr(replace(replace(replace(replace(replace(replace(' ' || detail, ' ''', ' ﷐'''), ' "', ' ﷐"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐'), 2);
update quarantine set reason =
    substr(replace(replace(replace(replace(replace(replace(' ' || reason, ' ''', ' ﷐'''), ' "', ' ﷐"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐'), 2);
update fact set expected =
    substr(replace(replace(replace(replace(replace(replace(' ' || expected, ' ''', ' ﷐'''), ' "', ' ﷐"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐'), 2);
update fact set observed =
    substr(replace(replace(replace(replace(replace(replace(' ' || observed, ' ''', ' ﷐'''), ' "', ' ﷐"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐'), 2);
update fact set detail =
    substr(replace(replace(replace(replace(replace(replace(' ' || detail, ' ''', ' ﷐'''), ' "', ' ﷐"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐'), 2);
update incident set summary =
    substr(replace(replace(replace(replace(replace(replace(' ' || summary, ' ''', ' ﷐'''), ' "', ' ﷐"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐'), 2);
update incident set evidence =
    replace(replace(replace(replace(replace(replace(replace(replace(evidence, ' ''', ' ﷐'''), ' \"', ' ﷐\"'), ':"''', ':"﷐'''), ':"\"', ':"﷐\"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐');
update incident_said set summary =
    substr(replace(replace(replace(replace(replace(replace(' ' || summary, ' ''', ' ﷐'''), ' "', ' ﷐"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐'), 2);
