{{/* How a pod leaves without losing a study. All times come from one deadline, studySeconds. */}}

{{/* Seconds until the last caller has heard that a Triton pod leaves: DNS lives so long, and connections so long (+10 %). */}}
{{- define "articula.drain.tritonSleep" -}}
{{- add .Values.drain.dnsTtlSeconds (ceil (mulf 1.1 .Values.triton.maxConnectionAgeSeconds)) -}}
{{- end }}

{{- define "articula.drain.tritonGrace" -}}
{{- $needed := add (include "articula.drain.tritonSleep" .) .Values.studySeconds .Values.drain.marginSeconds -}}
{{- include "articula.drain.checked" (list "triton" .Values.triton.terminationGracePeriodSeconds $needed) -}}
{{- end }}

{{- define "articula.drain.preprocessingGrace" -}}
{{- $needed := add .Values.drain.dnsTtlSeconds .Values.studySeconds .Values.drain.marginSeconds -}}
{{- include "articula.drain.checked" (list "preprocessing" .Values.preprocessing.terminationGracePeriodSeconds $needed) -}}
{{- end }}

{{/* A grace period given by hand may be longer than needed, never shorter: (list component given needed) */}}
{{- define "articula.drain.checked" -}}
{{- $given := index . 1 -}}{{- $needed := index . 2 | int64 -}}
{{- if kindIs "invalid" $given -}}{{ $needed }}
{{- else if lt (int64 $given) $needed -}}
{{- fail (printf "%s.terminationGracePeriodSeconds is %d, but leaving takes up to %d s: studies would be lost" (index . 0) (int64 $given) $needed) -}}
{{- else -}}{{ int64 $given }}{{- end -}}
{{- end }}
