{{/* What things are called, and which image they run. */}}
{{- define "articula.name" -}}
{{- $name := ternary .Release.Name (printf "%s-articula" .Release.Name) (contains "articula" .Release.Name) -}}
{{- .Values.fullnameOverride | default $name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* Labels that never change: (list root component) */}}
{{- define "articula.selector" -}}
app.kubernetes.io/name: articula
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "articula.labels" -}}
{{- $root := index . 0 -}}
{{ include "articula.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end }}

{{/* Image reference, by digest where one is given: (list root image) */}}
{{- define "articula.image" -}}
{{- $root := index . 0 -}}{{- $image := index . 1 -}}
{{- $tag := $image.tag | default $root.Chart.AppVersion -}}
{{- if not (regexMatch "[0-9]+\\.[0-9]+" $tag) -}}
{{- fail (printf "image %s: tag %q can change; name a full version or a digest" $image.repository $tag) -}}
{{- end -}}
{{- with $root.Values.imageRegistry }}{{ . }}/{{ end }}{{ $image.repository }}:{{ $tag }}{{ with $image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* Every pool of Triton as a list under "pools": those of the GPUs, then the CPU's. */}}
{{- define "articula.pools" -}}
{{- $pools := list -}}
{{- range .Values.triton.gpuPools -}}
{{- $defaults := dict "gpu" true "count" 1 "concurrency" 1 "strategy" "replace" "profile" "tensorrt" "priorityClassName" "" "nodeSelector" dict "tolerations" list "sharedMemory" "64Mi" "resources" (deepCopy $.Values.triton.gpuResources) -}}
{{- $pools = append $pools (mergeOverwrite $defaults (deepCopy .)) -}}
{{- end -}}
{{- if .Values.triton.cpuPool.enabled -}}
{{- $pools = append $pools (mergeOverwrite (dict "gpu" false "name" "cpu") (deepCopy .Values.triton.cpuPool)) -}}
{{- end -}}
{{- dict "pools" $pools | toJson -}}
{{- end }}

{{/* A quantity of Kubernetes in bytes: "22Gi" */}}
{{- define "articula.bytes" -}}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mulf (regexFind "^[0-9.]+" . | float64) (index $units (regexFind "[A-Za-z]*$" .) | float64) | int64 -}}
{{- end }}
