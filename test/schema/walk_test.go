package schema

import (
	"maps"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// kubernetesOwn are the fields of types that Kubernetes defines. What is below them is left out.
var kubernetesOwn = []string{"spec.podTemplate", "spec.allow.namespaces.selector"}

// walk visits every schema of a CRD with its path, such as spec.env[].name.
func walk(schema *apiextensionsv1.JSONSchemaProps, path string, visit func(path string, schema *apiextensionsv1.JSONSchemaProps)) {
	visit(path, schema)
	if slices.Contains(kubernetesOwn, path) {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		property := schema.Properties[name]
		walk(&property, join(path, name), visit)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		walk(schema.Items.Schema, path+"[]", visit)
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		walk(schema.AdditionalProperties.Schema, path+"{}", visit)
	}
}

func join(path, name string) string {
	return strings.Trim(path+"."+name, ".")
}
