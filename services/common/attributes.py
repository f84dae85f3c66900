"""The attributes the product reads; a reader skips all others without looking inside.

What is not here never reaches a rule, a model or a result: other patient data, private blobs, icons, overlays. A rule
that needs another attribute adds it here.
"""

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.tag import BaseTag

_IDENTITY = """
    SpecificCharacterSet SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID
    PatientName PatientID IssuerOfPatientID PatientBirthDate PatientSex PatientAge PatientSize PatientWeight
    PerformedProcedureStepDescription
    StudyDate StudyTime StudyID AccessionNumber ReferringPhysicianName StudyDescription
"""
_SERIES = """
    Modality SeriesDescription SeriesNumber SeriesDate SeriesTime ProtocolName BodyPartExamined Laterality
    ImageLaterality PatientPosition PatientOrientation Manufacturer ManufacturerModelName SoftwareVersions
    AnatomicRegionSequence CodeValue CodingSchemeDesignator CodeMeaning
"""
_IMAGE = """
    ImageType InstanceNumber AcquisitionNumber AcquisitionDate AcquisitionTime AcquisitionDateTime ContentDate
    ContentTime DerivationDescription SourceImageSequence ReferencedImageSequence ReferencedSOPClassUID
    ReferencedSOPInstanceUID ReferencedFrameNumber BurnedInAnnotation LossyImageCompression QualityControlImage
    LossyImageCompressionRatio LossyImageCompressionMethod PresentationLUTShape ImageComments
"""
_MR = """
    ScanningSequence SequenceVariant ScanOptions MRAcquisitionType SequenceName PulseSequenceName RepetitionTime
    EchoTime InversionTime TriggerTime EchoNumbers EchoTrainLength FlipAngle NumberOfAverages MagneticFieldStrength
    ImagingFrequency ImagedNucleus SpacingBetweenSlices SliceThickness DiffusionBValue ContrastBolusAgent
    TemporalPositionIdentifier NumberOfTemporalPositions TemporalResolution AcquisitionMatrix
    ReceiveCoilName PixelBandwidth AngioFlag
"""
_PLACE = """
    ImagePositionPatient ImageOrientationPatient PixelSpacing ImagerPixelSpacing SliceLocation StackID
    InStackPositionNumber ImagesInAcquisition
"""
_PIXELS = """
    SamplesPerPixel PhotometricInterpretation NumberOfFrames Rows Columns PixelAspectRatio BitsAllocated BitsStored
    HighBit PixelRepresentation SmallestImagePixelValue LargestImagePixelValue PixelPaddingValue PixelPaddingRangeLimit
    RescaleIntercept RescaleSlope RescaleType WindowCenter WindowWidth PlanarConfiguration
    RealWorldValueMappingSequence RealWorldValueFirstValueMapped RealWorldValueLastValueMapped
    RealWorldValueIntercept RealWorldValueSlope ExtendedOffsetTable ExtendedOffsetTableLengths
"""
_MULTI_FRAME = """
    SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence DimensionIndexSequence
    DimensionOrganizationSequence DimensionOrganizationType DimensionOrganizationUID DimensionIndexPointer
    FunctionalGroupPointer FrameContentSequence DimensionIndexValues TemporalPositionIndex FrameAcquisitionNumber
    FrameAcquisitionDateTime FrameReferenceDateTime PlanePositionSequence PlaneOrientationSequence
    PixelMeasuresSequence PixelValueTransformationSequence FrameVOILUTSequence FrameAnatomySequence FrameLaterality
    MRImageFrameTypeSequence FrameType MRTimingAndRelatedParametersSequence MREchoSequence EffectiveEchoTime
    MRModifierSequence InversionRecovery InversionTimes SpectrallySelectedSuppression SpectrallySelectedExcitation
    SpatialPresaturation MRImagingModifierSequence MRAveragesSequence MRDiffusionSequence DiffusionDirectionality
    GradientEchoTrainLength RFEchoTrainLength EchoPulseSequence MultiPlanarExcitation SteadyStatePulseSequence
    T2Preparation EchoPlanarPulseSequence CardiacSynchronizationSequence NominalCardiacTriggerDelayTime
    ConversionSourceAttributesSequence UnassignedSharedConvertedAttributesSequence
    UnassignedPerFrameConvertedAttributesSequence PixelPresentation VolumetricProperties
    VolumeBasedCalculationTechnique ComplexImageComponent AcquisitionContrast ContentQualification
    ResonantNucleus KSpaceFiltering TemporalPositionTimeOffset
"""
_PRIVATE: dict[int, str | None] = {
    0x0019_100A: None,  # Siemens MR HEADER: NumberOfImagesInMosaic
    **{0x2005_000D + (block << 8): None for block in range(0x10, 0x20)},  # Philips MR Imaging DD 001: scale intercept
    **{0x2005_000E + (block << 8): None for block in range(0x10, 0x20)},  # and slope
    0x2005_140F: "SQ",  # Philips Imaging DD 005: the classic attributes of an enhanced frame
    **{0x0019_0000 + block: "LO" for block in range(0x10, 0x20)},  # who owns a private block
    **{0x2005_0000 + block: "LO" for block in range(0x10, 0x20)},
}

PIXEL_DATA = 0x7FE0_0010


def _public() -> dict[int, str | None]:
    tags: dict[int, str | None] = {}
    for keyword in f"{_IDENTITY} {_SERIES} {_IMAGE} {_MR} {_PLACE} {_PIXELS} {_MULTI_FRAME}".split():
        tag = tag_for_keyword(keyword)
        assert tag is not None, keyword  # noqa: S101 - a misspelt keyword must not reach a release
        tags[tag] = dictionary_VR(tag)
    return tags


# the tag again, as pydicom keys its elements, and the VR of the dictionary
READ = {tag: (BaseTag(tag), vr) for tag, vr in {**_public(), **_PRIVATE}.items()}
BY_KEYWORD = {keyword: READ[tag][0] for keyword, tag in ((keyword_for_tag(tag), tag) for tag in READ) if keyword}
