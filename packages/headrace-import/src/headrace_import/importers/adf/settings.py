"""Settings of a Copy and of what it reads and writes: one that isn't known here isn't carried.

The names are those of Microsoft's documentation: azure/data-factory/copy-activity-overview,
copy-activity-schema-and-type-mapping, copy-activity-fault-tolerance, format-delimited-text, and the
page of each connector. Values of `KNOWN` that aren't empty are the only ones that may be set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace_import.importers.adf.refusals import NotCarriedError

_Known = Mapping[str, tuple[Any, ...]]


def _any(names: str) -> _Known:
    return dict.fromkeys(names.split(), ())


_OFF = (False, "", None)
COPY: _Known = {
    **_any("source sink translator enablestaging stagingsettings parallelcopies"),
    **_any("dataintegrationunits clouddatamovementunits logsettings preserve preserverules"),
    "enableskipincompatiblerow": _OFF,
    "validatedataconsistency": (True, *_OFF),
}
SOURCE: _Known = {
    **_any("type storesettings formatsettings querytimeout sqlreaderquery query"),
    **_any("oraclereaderquery partitionoption partitionsettings isolationlevel additionalcolumns"),
    **_any("maxconcurrentconnections sourceretrycount sourceretrywait disablemetricscollection"),
    **_any("httprequesttimeout requestinterval requestmethod requestbody additionalheaders"),
    **_any("paginationrules recursive"),
}
READING: _Known = {
    **_any("type recursive maxconcurrentconnections disablemetricscollection requestmethod"),
    **_any("requestbody additionalheaders requesttimeout deletefilesaftercompletion"),
    **_any("usebinarytransfer disablechunking wildcardfilename wildcardfolderpath prefix"),
    **_any("filelistpath modifieddatetimestart modifieddatetimeend"),
    "enablepartitiondiscovery": _OFF,
    "skiplinecount": (0, "0", *_OFF),
}
SINK: _Known = {
    **_any("type precopyscript writebehavior tableoption storesettings formatsettings"),
    **_any("writebatchsize writebatchtimeout disablemetricscollection maxconcurrentconnections"),
    **_any("sqlwriterusetablelock commandtimeout sinkretrycount sinkretrywait allowpolybase"),
    **_any("allowcopycommand importsettings upsertsettings sqlwriterstoredprocedurename"),
}
WRITING: _Known = {
    **_any("type maxconcurrentconnections disablemetricscollection blocksizeinmb"),
    **_any("fileextension quotealltext"),
    "copybehavior": ("PreserveHierarchy", *_OFF),
    "filepattern": ("setOfObjects", *_OFF),
}
TRANSLATOR: _Known = {
    **_any("type mappings typeconversion collectionreference columnmappings"),
    "typeconversionsettings": (
        {"allowDataTruncation": True, "treatBooleanAsNumber": False},
        {"allowDataTruncation": False, "treatBooleanAsNumber": False},
        *_OFF,
    ),
    "mapcomplexvaluestostring": _OFF,
}
MAPPED: _Known = _any("name path type physicaltype ordinal length precision scale")
CSV: _Known = {
    **_any("location columndelimiter encodingname firstrowasheader nullvalue compressioncodec"),
    **_any("compressionlevel escapechar"),
    "rowdelimiter": ("\n", "\r\n", "", None),
    "quotechar": ('"',),
}
OTHER_FILES: _Known = {
    **_any("location compressioncodec compression encodingname sheetname firstrowasheader"),
    "nullvalue": ("",),
    "range": ("", None),
}
SCRIPT: _Known = _any("scripts scriptblockexecutiontimeout logsettings")
ONE_SCRIPT: _Known = {**_any("type text"), "parameters": ([], None)}


def require_known(settings: Mapping[str, Any], known: _Known) -> None:
    """Raise NotCarriedError for a setting that isn't known to change no rows."""
    for key, value in settings.items():
        allowed = known.get(key.lower())
        if allowed is None or (allowed and value not in allowed):
            raise NotCarriedError(f"its setting `{key}` isn't known to leave the rows the same")
