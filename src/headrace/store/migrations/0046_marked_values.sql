-- Texts mark where values of rows begin and end (`headrace.model.texts`). In texts of before, a value
-- begins where one may: at a quote, in brackets, after an error's class; it has no end. The mark is the
-- noncharacter U+FDD0, which editors don't show.
update look set error =
    replace(replace(replace(replace(replace(replace(error, ' ''', ' ﷐'''), ' "', ' ﷐"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐');
update delivery set reason =
    replace(replace(replace(replace(replace(replace(reason, ' ''', ' ﷐'''), ' "', ' ﷐"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐');
update attempt set reason =
    replace(replace(replace(replace(replace(replace(reason, ' ''', ' ﷐'''), ' "', ' ﷐"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐');
update attempt set error =
    replace(replace(replace(replace(replace(replace(error, ' ''', ' ﷐'''), ' \"', ' ﷐\"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐');
update partition set reason =
    replace(replace(replace(replace(replace(replace(reason, ' ''', ' ﷐'''), ' "', ' ﷐"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐');
update overlay set reason =
    replace(replace(replace(replace(replace(replace(reason, ' ''', ' ﷐'''), ' "', ' ﷐"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐');
update check_result set detail =
    replace(replace(replace(replace(replace(replace(detail, ' ''', ' ﷐'''), ' "', ' ﷐"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐');
update quarantine set reason =
    replace(replace(replace(replace(replace(replace(reason, ' ''', ' ﷐'''), ' "', ' ﷐"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐');
update fact set expected =
    replace(replace(replace(replace(replace(replace(expected, ' ''', ' ﷐'''), ' "', ' ﷐"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐');
update fact set observed =
    replace(replace(replace(replace(replace(replace(observed, ' ''', ' ﷐'''), ' "', ' ﷐"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐');
update incident set summary =
    replace(replace(replace(replace(replace(replace(summary, ' ''', ' ﷐'''), ' "', ' ﷐"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐');
update incident set evidence =
    replace(replace(replace(replace(replace(replace(evidence, ' ''', ' ﷐'''), ' \"', ' ﷐\"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐');
update incident_said set summary =
    replace(replace(replace(replace(replace(replace(summary, ' ''', ' ﷐'''), ' "', ' ﷐"'), '(', '(﷐'), 'Error: ', 'Error: ﷐'), 'xception: ', 'xception: ﷐'), 'newest is ', 'newest is ﷐');
