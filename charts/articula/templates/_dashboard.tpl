{{/* A Grafana dashboard, two panels in a row: (list root title panels); a panel is (list title query unit legend) */}}
{{- define "articula.dashboard" -}}
{{- $root := index . 0 -}}{{- $title := index . 1 -}}
{{- $panels := list -}}
{{- range $i, $panel := index . 2 -}}
{{- $target := dict "refId" "A" "expr" (index $panel 1) "legendFormat" (index $panel 3) -}}
{{- $source := dict "type" "prometheus" "uid" "${source}" -}}
{{- $place := dict "w" 12 "h" 8 "x" (mul 12 (mod $i 2)) "y" (mul 8 (div $i 2)) -}}
{{- $defaults := dict "unit" (index $panel 2) "min" 0 -}}
{{- $panels = append $panels (dict "id" (add1 $i) "type" "timeseries" "title" (index $panel 0) "datasource" $source "gridPos" $place "targets" (list $target) "fieldConfig" (dict "defaults" $defaults "overrides" list)) -}}
{{- end -}}
{{- $variable := dict "name" "source" "type" "datasource" "query" "prometheus" "label" "Prometheus" -}}
{{- dict "uid" (printf "%s-%s" (include "articula.name" $root) $title | trunc 40) "title" (printf "Articula / %s / %s" $root.Release.Name $title) "tags" (list "articula") "schemaVersion" 39 "refresh" "30s" "time" (dict "from" "now-6h" "to" "now") "templating" (dict "list" (list $variable)) "panels" $panels | toJson -}}
{{- end }}
