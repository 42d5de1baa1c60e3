-- Which versions of the code the visible rows of a node are of, whatever their number.

create index publication_version on publication (node, version) where ended_snapshot is null;
