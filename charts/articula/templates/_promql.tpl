{{/*
All PromQL of the chart: the autoscalers, the recording rules, the alerts and the dashboards take it from here, so that
they can't disagree. Metric names of our services occur nowhere else in the chart.
*/}}

{{/* Matchers of one pool's pods: (list root pool) */}}
{{- define "articula.promql.pool" -}}
{{- $root := index . 0 -}}
namespace="{{ $root.Release.Namespace }}",pod=~"{{ include "articula.name" $root }}-triton-{{ (index . 1).name }}-.+"
{{- end }}

{{/* Matchers of all pods of a component: (list root component) */}}
{{- define "articula.promql.component" -}}
{{- $root := index . 0 -}}
namespace="{{ $root.Release.Namespace }}",pod=~"{{ include "articula.name" $root }}-{{ index . 1 }}-.+"
{{- end }}

{{/*
How busy a pool is, in pods: seconds of compute a second over all its pods, by what one pod can run at once; the autoscaler
divides it by the pods there are. Triton counts a batch's compute time once a request, so each model's time is corrected
by executions a request. All three compute parts count, because some backends book the work under "output". Counters move
when a request ends.
*/}}
{{- define "articula.promql.busy" -}}
{{- $pods := include "articula.promql.pool" . -}}
sum(
  (rate(nv_inference_compute_input_duration_us{ {{- $pods -}} }[5m])
  + rate(nv_inference_compute_infer_duration_us{ {{- $pods -}} }[5m])
  + rate(nv_inference_compute_output_duration_us{ {{- $pods -}} }[5m])) / 1e6
  * rate(nv_inference_exec_count{ {{- $pods -}} }[5m])
  / (rate(nv_inference_request_success{ {{- $pods -}} }[5m]) > 0)
  or nv_inference_pending_request_count{ {{- $pods -}} } * 0
) / {{ (index . 1).concurrency }}
{{- if eq (int (index . 1).min) 0 }}
or vector(0) # a pool that may be empty has nobody who reports
{{- end }}
{{- end }}

{{/* Labels of what this chart records without a pool. */}}
{{- define "articula.promql.release" -}}
release="{{ .Release.Name }}",namespace="{{ .Release.Namespace }}"
{{- end }}

{{/*
Seconds that one pod needs for one study: the pods' work of the last hour by its studies. An hour of few studies says
little, since probes and warming up weigh too much in it; then it is what the values say. Both sides add up what was seen,
so that an hour in which Prometheus was young does not mislead.
*/}}
{{- define "articula.promql.studyWork" -}}
{{- $studies := printf "sum(increase(articula_studies_total{outcome!=\"rejected\",%s}[1h]))" (include "articula.promql.component" (list . "preprocessing")) -}}
sum(sum_over_time(articula_triton_busy{ {{- include "articula.promql.release" . -}} }[1h])) * {{ .Values.monitoring.intervalSeconds }}
/ ({{ $studies }} > 30)
or vector({{ .Values.autoscaling.studyComputeSeconds }})
{{- end }}

{{/*
Seconds of work that a pool has before it, in pods' time: the studies known and not finished by what one takes. A pool's
share is its size among all. The forwarders know of studies before anybody works on them; hospitals' own forwarders are
not scraped, then those count that preprocessing admitted. It is there while a pool has no pod: (list root pool)
*/}}
{{- define "articula.promql.backlog" -}}
{{- $root := index . 0 -}}{{- $pool := index . 1 -}}
{{- $all := 0 -}}
{{- range (include "articula.pools" $root | fromJson).pools -}}{{- $all = add $all .max -}}{{- end -}}
({{ if $root.Values.orthanc.enabled }}sum(articula_backlog_studies{ {{- include "articula.promql.component" (list $root "orthanc") -}} }) or {{ end }}{{ include "articula.promql.inFlight" $root }})
* on () (articula_study_work_seconds{ {{- include "articula.promql.release" $root -}} } * {{ $pool.max }} / {{ $all }})
{{- end }}

{{/*
Pods that run in the hours of a schedule, else 0, for autoscalers without a clock of their own. PromQL knows UTC alone:
(list schedule most)
*/}}
{{- define "articula.promql.floor" -}}
{{- $schedule := index . 0 -}}
{{- $start := splitList " " $schedule.start -}}{{- $end := splitList " " $schedule.end -}}
{{- $days := list -}}
{{- range splitList "," (index $start 4) -}}
{{- $range := splitList "-" . -}}
{{- $days = append $days (ternary "day_of_week() >= 0" (printf "day_of_week() >= %s <= %s" (first $range) (last $range)) (eq . "*")) -}}
{{- end -}}
vector({{ min (int $schedule.replicas) (int (index . 1)) }})
and on () ({{ join " or " $days }})
and on () (hour() * 60 + minute() >= {{ add (mul 60 (index $start 1 | int)) (index $start 0 | int) }} < {{ add (mul 60 (index $end 1 | int)) (index $end 0 | int) }})
or vector(0)
{{- end }}

{{/* Studies that the preprocessing pods have in hand. */}}
{{- define "articula.promql.inFlight" -}}
sum(articula_studies_in_work{ {{- include "articula.promql.component" (list . "preprocessing") -}} })
{{- end }}

{{/* Pods of a component that are ready: (list root prefix) */}}
{{- define "articula.promql.ready" -}}
sum(kube_pod_status_ready{condition="true",{{ include "articula.promql.component" . }}})
{{- end }}

{{- define "articula.promql.studies" -}}
articula_studies_total{ {{- include "articula.promql.component" (list . "preprocessing") -}} }
{{- end }}

{{/*
Share of studies whose attempt failed by our fault, over a window; being told to come back is no attempt, and a study
that can't be read has its answer: (list root window)
*/}}
{{- define "articula.promql.failedShare" -}}
{{- $pods := include "articula.promql.component" (list (index . 0) "preprocessing") -}}
sum(rate(articula_studies_total{code=~"UNAVAILABLE|STREAM_INVALID|ERROR|PROCESSING_.+|MODEL_OUTPUT_INVALID",{{ $pods }}}[{{ index . 1 }}]))
/ (sum(rate(articula_studies_total{code!="BUSY",{{ $pods }}}[{{ index . 1 }}])) > 0)
{{- end }}

{{/* Share of studies whose result took longer than the objective of a minute: (list root window) */}}
{{- define "articula.promql.lateShare" -}}
{{- $root := index . 0 -}}{{- $all := printf "namespace=\"%s\"" $root.Release.Namespace -}}
1 - sum(rate(articula_study_seconds_bucket{le="60.0",{{ $all }}}[{{ index . 1 }}]))
/ (sum(rate(articula_study_seconds_count{ {{- $all -}} }[{{ index . 1 }}])) > 0)
{{- end }}

{{/* Quantile of a duration of our services: (list root quantile metric labels) */}}
{{- define "articula.promql.quantile" -}}
{{- $root := index . 0 -}}
histogram_quantile({{ index . 1 }}, sum by ({{ index . 3 }}) (rate({{ index . 2 }}_bucket{namespace="{{ $root.Release.Namespace }}"}[5m])))
{{- end }}

{{- define "articula.promql.oldest" -}}
max(articula_oldest_unfinished_study_seconds{namespace="{{ .Release.Namespace }}"})
{{- end }}

{{- define "articula.promql.waitingStudies" -}}
sum by (priority) (articula_backlog_studies{namespace="{{ .Release.Namespace }}"})
{{- end }}

{{/* Requests that one execution carries, by model. */}}
{{- define "articula.promql.batch" -}}
{{- $pods := include "articula.promql.component" (list . "triton") -}}
sum by (model) (rate(nv_inference_request_success{ {{- $pods -}} }[5m]))
/ (sum by (model) (rate(nv_inference_exec_count{ {{- $pods -}} }[5m])) > 0)
{{- end }}

{{- define "articula.promql.modelFailures" -}}
sum by (model, reason) (rate(nv_inference_request_failure{ {{- include "articula.promql.component" (list . "triton") -}} }[5m]))
{{- end }}

{{/* Requests that a pod's models finished a second. */}}
{{- define "articula.promql.completions" -}}
sum by (pod) (rate(nv_inference_request_success{ {{- include "articula.promql.component" (list . "triton") -}} }[5m]))
{{- end }}

{{- define "articula.promql.pendingByPod" -}}
sum by (pod) (nv_inference_pending_request_count{ {{- include "articula.promql.component" (list . "triton") -}} })
{{- end }}
