{{/* One alert: (list root name expression for severity summary) */}}
{{- define "articula.alert" }}
{{- $root := index . 0 }}
- alert: {{ index . 1 }}
  expr: |-
    {{- index . 2 | nindent 4 }}
  for: {{ index . 3 }}
  labels: { severity: {{ index . 4 }}, release: {{ $root.Release.Name }} }
  annotations:
    summary: {{ index . 5 | quote }}
    runbook_url: {{ printf "%s#%s" $root.Values.monitoring.runbooks (index . 1 | lower) | quote }}
{{- end }}

{{/* "page" wakes somebody: studies are late or lost. "ticket" waits for the morning. */}}
{{- define "articula.alerts" }}
{{- $name := include "articula.name" . }}
{{- $cold := printf "%ds" (int (add 60 .Values.triton.coldStartSeconds)) }}
{{- $triton := include "articula.promql.component" (list . "triton") }}
{{- $service := include "articula.promql.component" (list . "preprocessing") }}
{{- include "articula.alert" (list . "ArticulaErrorBudgetBurnsFast" (printf "(%s) > 14.4 * 0.005\nand (%s) > 14.4 * 0.005" (include "articula.promql.failedShare" (list . "1h")) (include "articula.promql.failedShare" (list . "5m"))) "2m" "page" "Studies fail so often that a month's error budget is gone in two days.") }}
{{- include "articula.alert" (list . "ArticulaErrorBudgetBurnsSlowly" (printf "(%s) > 3 * 0.005\nand (%s) > 3 * 0.005" (include "articula.promql.failedShare" (list . "1d")) (include "articula.promql.failedShare" (list . "2h"))) "15m" "ticket" "Studies fail more often than the error budget allows.") }}
{{- include "articula.alert" (list . "ArticulaResultsLate" (printf "(%s) > 0.05" (include "articula.promql.lateShare" (list . "30m"))) "15m" "ticket" "More than 5 % of results take longer than a minute.") }}
{{- include "articula.alert" (list . "ArticulaStudyWaitsTooLong" (printf "%s > %d" (include "articula.promql.oldest" .) (int (mul 2 .Values.studySeconds))) "2m" "page" "A study has waited longer than twice the deadline of a study.") }}
{{- include "articula.alert" (list . "ArticulaPreprocessingDown" (printf "absent(up{%s} == 1)" $service) "3m" "page" "No preprocessing pod answers Prometheus.") }}
{{- include "articula.alert" (list . "ArticulaTritonDown" (printf "absent(up{%s} == 1)\nand on () (%s) > 0" $triton (include "articula.promql.waitingStudies" . | replace "sum by (priority)" "sum")) $cold "page" "Studies wait and no Triton pod answers Prometheus.") }}
{{- include "articula.alert" (list . "ArticulaTritonStuck" (printf "(%s) > 0\nunless (%s) > 0" (include "articula.promql.pendingByPod" .) (include "articula.promql.completions" .)) "5m" "page" "A Triton pod has requests waiting and finishes none.") }}
{{- include "articula.alert" (list . "ArticulaModelFailures" (printf "%s > 0" (include "articula.promql.modelFailures" .)) "10m" "ticket" "Triton answers inferences with errors.") }}
{{- include "articula.alert" (list . "ArticulaLoadUneven" (printf "max(%s) > 2 * avg(%s)\nand avg(%s) > 0.5" (include "articula.promql.completions" .) (include "articula.promql.completions" .) (include "articula.promql.completions" .)) "30m" "ticket" "One Triton pod does more than twice the work of the others.") }}
{{- range $pool := (include "articula.pools" . | fromJson).pools }}
{{- include "articula.alert" (list $ "ArticulaPoolAtItsLimit" (printf "(%s) > %d * %s\nand on () sum(kube_deployment_spec_replicas{namespace=\"%s\",deployment=\"%s-triton-%s\"}) >= %d" (include "articula.promql.backlog" (list $ $pool)) (int $pool.max) $.Values.autoscaling.backlogTarget $.Release.Namespace $name $pool.name (int $pool.max)) "15m" "page" (printf "Pool %s has all the pods it may have, and requests still wait." $pool.name)) }}
{{- include "articula.alert" (list $ "ArticulaPoolTooSmall" (printf "(%s or vector(0)) < %d" (include "articula.promql.ready" (list $ (printf "triton-%s" $pool.name))) (int $pool.min)) $cold "page" (printf "Pool %s has fewer ready pods than its minimum." $pool.name)) }}
{{- end }}
{{- if ne .Values.autoscaling.mode "none" }}
{{- include "articula.alert" (list . "ArticulaScalingBlind" (printf "absent(articula_triton_backlog{release=\"%s\",namespace=\"%s\"})\nor kube_horizontalpodautoscaler_status_condition{namespace=\"%s\",horizontalpodautoscaler=~\"(keda-hpa-)?%s-.+\",condition=\"ScalingActive\",status=\"false\"} == 1" .Release.Name .Release.Namespace .Release.Namespace $name) "10m" "page" "The autoscaler does not see the signal it scales on.") }}
{{- include "articula.alert" (list . "ArticulaScalingFlaps" (printf "changes(kube_deployment_spec_replicas{namespace=\"%s\",deployment=~\"%s-.+\"}[1h]) > 12" .Release.Namespace $name) "0m" "ticket" "A Deployment was scaled more than twelve times in an hour.") }}
{{- end }}
{{- include "articula.alert" (list . "ArticulaPodPending" (printf "sum by (pod) (kube_pod_status_phase{phase=\"Pending\",namespace=\"%s\",pod=~\"%s-.+\"}) > 0" .Release.Namespace $name) "15m" "page" "A pod finds no machine.") }}
{{- include "articula.alert" (list . "ArticulaCrashLoop" (printf "sum by (pod, container) (increase(kube_pod_container_status_restarts_total{namespace=\"%s\",pod=~\"%s-.+\"}[30m])) > 3" .Release.Namespace $name) "0m" "page" "A container restarts again and again.") }}
{{- include "articula.alert" (list . "ArticulaMemoryNearLimit" (printf "max by (pod, container) (container_memory_working_set_bytes{namespace=\"%s\",pod=~\"%s-.+\",container!=\"\"})\n/ max by (pod, container) (kube_pod_container_resource_limits{resource=\"memory\",namespace=\"%s\",pod=~\"%s-.+\"}) > 0.9" .Release.Namespace $name .Release.Namespace $name) "15m" "ticket" "A container uses more than 90 % of its memory.") }}
{{- if .Values.orthanc.enabled }}
{{- include "articula.alert" (list . "ArticulaStorageFull" (printf "kubelet_volume_stats_available_bytes{namespace=\"%s\",persistentvolumeclaim=~\"data-%s-orthanc-.+\"}\n/ kubelet_volume_stats_capacity_bytes < 0.1" .Release.Namespace $name) "15m" "page" "Orthanc's volume is more than 90 % full.") }}
{{- end }}
{{- if eq .Values.tls.mode "certManager" }}
{{- include "articula.alert" (list . "ArticulaCertificateExpires" (printf "min by (name) (certmanager_certificate_expiration_timestamp_seconds{namespace=\"%s\",name=~\"%s-.+\"}) - time() < 14 * 86400" .Release.Namespace $name) "1h" "ticket" "A certificate expires within two weeks.") }}
{{- end }}
{{- if .Values.engineBuild.enabled }}
{{- include "articula.alert" (list . "ArticulaEngineBuildFailed" (printf "kube_job_status_failed{namespace=\"%s\",job_name=~\"%s-engines-.+\"} > 0" .Release.Namespace $name) "0m" "page" "A Job that builds TensorRT engines failed.") }}
{{- end }}
{{- end }}
