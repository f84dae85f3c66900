from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    PRIORITY_STAT: _ClassVar[Priority]
    PRIORITY_ROUTINE: _ClassVar[Priority]
    PRIORITY_BACKFILL: _ClassVar[Priority]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_FINDINGS: _ClassVar[Outcome]
    OUTCOME_NO_RESULT: _ClassVar[Outcome]
PRIORITY_UNSPECIFIED: Priority
PRIORITY_STAT: Priority
PRIORITY_ROUTINE: Priority
PRIORITY_BACKFILL: Priority
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_FINDINGS: Outcome
OUTCOME_NO_RESULT: Outcome

class DescribeRequest(_message.Message):
    __slots__ = ("pipeline",)
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    pipeline: str
    def __init__(self, pipeline: _Optional[str] = ...) -> None: ...

class PipelineDescription(_message.Message):
    __slots__ = ("pipeline", "version", "digest", "model_digests")
    class ModelDigestsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGESTS_FIELD_NUMBER: _ClassVar[int]
    pipeline: str
    version: str
    digest: str
    model_digests: _containers.ScalarMap[str, str]
    def __init__(self, pipeline: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., model_digests: _Optional[_Mapping[str, str]] = ...) -> None: ...

class AnalyzeRequest(_message.Message):
    __slots__ = ("header", "chunk", "end")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    header: StudyHeader
    chunk: InstanceChunk
    end: EndOfStudy
    def __init__(self, header: _Optional[_Union[StudyHeader, _Mapping]] = ..., chunk: _Optional[_Union[InstanceChunk, _Mapping]] = ..., end: _Optional[_Union[EndOfStudy, _Mapping]] = ...) -> None: ...

class StudyHeader(_message.Message):
    __slots__ = ("study_instance_uid", "pipeline", "input_digest", "priority", "instance_count", "total_bytes", "source")
    STUDY_INSTANCE_UID_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    INPUT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    study_instance_uid: str
    pipeline: str
    input_digest: str
    priority: Priority
    instance_count: int
    total_bytes: int
    source: str
    def __init__(self, study_instance_uid: _Optional[str] = ..., pipeline: _Optional[str] = ..., input_digest: _Optional[str] = ..., priority: _Optional[_Union[Priority, str]] = ..., instance_count: _Optional[int] = ..., total_bytes: _Optional[int] = ..., source: _Optional[str] = ...) -> None: ...

class InstanceChunk(_message.Message):
    __slots__ = ("instance_index", "data", "last")
    INSTANCE_INDEX_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    instance_index: int
    data: bytes
    last: bool
    def __init__(self, instance_index: _Optional[int] = ..., data: _Optional[bytes] = ..., last: _Optional[bool] = ...) -> None: ...

class EndOfStudy(_message.Message):
    __slots__ = ("instance_count",)
    INSTANCE_COUNT_FIELD_NUMBER: _ClassVar[int]
    instance_count: int
    def __init__(self, instance_count: _Optional[int] = ...) -> None: ...

class AnalyzeResponse(_message.Message):
    __slots__ = ("accepted", "progress", "result", "summary", "rejection")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    REJECTION_FIELD_NUMBER: _ClassVar[int]
    accepted: Accepted
    progress: Progress
    result: ResultChunk
    summary: Summary
    rejection: Rejection
    def __init__(self, accepted: _Optional[_Union[Accepted, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., result: _Optional[_Union[ResultChunk, _Mapping]] = ..., summary: _Optional[_Union[Summary, _Mapping]] = ..., rejection: _Optional[_Union[Rejection, _Mapping]] = ...) -> None: ...

class Accepted(_message.Message):
    __slots__ = ("attempt_id",)
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    def __init__(self, attempt_id: _Optional[str] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("stage", "done", "total")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    stage: str
    done: int
    total: int
    def __init__(self, stage: _Optional[str] = ..., done: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class ResultChunk(_message.Message):
    __slots__ = ("sop_instance_uid", "modality", "series_description", "data", "last", "manifest")
    SOP_INSTANCE_UID_FIELD_NUMBER: _ClassVar[int]
    MODALITY_FIELD_NUMBER: _ClassVar[int]
    SERIES_DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    sop_instance_uid: str
    modality: str
    series_description: str
    data: bytes
    last: bool
    manifest: bool
    def __init__(self, sop_instance_uid: _Optional[str] = ..., modality: _Optional[str] = ..., series_description: _Optional[str] = ..., data: _Optional[bytes] = ..., last: _Optional[bool] = ..., manifest: _Optional[bool] = ...) -> None: ...

class Summary(_message.Message):
    __slots__ = ("outcome", "findings", "refusal_code", "advice", "notes", "stage_seconds")
    class StageSecondsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_CODE_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    STAGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    outcome: Outcome
    findings: _containers.RepeatedCompositeFieldContainer[FindingSummary]
    refusal_code: str
    advice: str
    notes: _containers.RepeatedScalarFieldContainer[str]
    stage_seconds: _containers.ScalarMap[str, float]
    def __init__(self, outcome: _Optional[_Union[Outcome, str]] = ..., findings: _Optional[_Iterable[_Union[FindingSummary, _Mapping]]] = ..., refusal_code: _Optional[str] = ..., advice: _Optional[str] = ..., notes: _Optional[_Iterable[str]] = ..., stage_seconds: _Optional[_Mapping[str, float]] = ...) -> None: ...

class FindingSummary(_message.Message):
    __slots__ = ("label", "probability", "threshold", "positive", "plane", "slice_index", "sop_instance_uid")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_FIELD_NUMBER: _ClassVar[int]
    PLANE_FIELD_NUMBER: _ClassVar[int]
    SLICE_INDEX_FIELD_NUMBER: _ClassVar[int]
    SOP_INSTANCE_UID_FIELD_NUMBER: _ClassVar[int]
    label: str
    probability: float
    threshold: float
    positive: bool
    plane: str
    slice_index: int
    sop_instance_uid: str
    def __init__(self, label: _Optional[str] = ..., probability: _Optional[float] = ..., threshold: _Optional[float] = ..., positive: _Optional[bool] = ..., plane: _Optional[str] = ..., slice_index: _Optional[int] = ..., sop_instance_uid: _Optional[str] = ...) -> None: ...

class Rejection(_message.Message):
    __slots__ = ("code", "message", "retry_after_seconds")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_SECONDS_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    retry_after_seconds: float
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., retry_after_seconds: _Optional[float] = ...) -> None: ...
