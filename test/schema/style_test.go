package schema

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

func TestEveryFieldIsDescribed(t *testing.T) {
	eachProperty(t, func(path string, schema *apiextensionsv1.JSONSchemaProps) {
		if schema.Description == "" {
			t.Errorf("%s has no description", path)
		}
	})
}

func TestOptionalFieldsSayWhatUnsetMeans(t *testing.T) {
	for kind, d := range readDefinitions(t) {
		walk(d.schema(), "", func(path string, schema *apiextensionsv1.JSONSchemaProps) {
			if !strings.HasPrefix(path, "spec") || schema.Type != "object" || slices.Contains(kubernetesOwn, path) {
				return
			}
			for name, property := range schema.Properties {
				if !slices.Contains(schema.Required, name) && !saysUnset(property.Description) {
					t.Errorf("%s: the description does not say what happens when it is unset", join(join(kind, path), name))
				}
			}
		})
	}
}

// saysUnset also takes the words of fields that are required in some cases, and of those that add to something.
func saysUnset(description string) bool {
	for _, words := range []string{"When unset", "When\nunset", "is required for", "set for every", "written for every", "adds to", "added;"} {
		if strings.Contains(description, words) {
			return true
		}
	}
	return false
}

func TestStringsAreBounded(t *testing.T) {
	bounded, total := 0, 0
	eachProperty(t, func(path string, schema *apiextensionsv1.JSONSchemaProps) {
		if schema.Type != "string" {
			return
		}
		total++
		if schema.MaxLength != nil || len(schema.Enum) > 0 || schema.Format != "" {
			bounded++
			return
		}
		t.Logf("%s has neither maxLength nor enum nor format", path)
	})
	if bounded*100 < total*97 {
		t.Errorf("%d of %d strings are bounded, want 97 %%", bounded, total)
	}
}

func TestListsAreBoundedAndTyped(t *testing.T) {
	eachProperty(t, func(path string, schema *apiextensionsv1.JSONSchemaProps) {
		if schema.Type != "array" {
			return
		}
		if schema.MaxItems == nil {
			t.Errorf("%s has no maxItems", path)
		}
		if schema.XListType == nil {
			t.Errorf("%s has no list type", path)
		}
	})
}

func TestMapsAreBounded(t *testing.T) {
	eachProperty(t, func(path string, schema *apiextensionsv1.JSONSchemaProps) {
		if schema.AdditionalProperties != nil && schema.MaxProperties == nil {
			t.Errorf("%s has no maxProperties", path)
		}
	})
}

// A status that nobody has written yet reads as in progress: its generation is behind every spec.
func TestStatusStartsUnobserved(t *testing.T) {
	for kind, d := range readDefinitions(t) {
		initial := d.schema().Properties["status"].Default
		if initial == nil || string(initial.Raw) != `{"observedGeneration":-1}` {
			t.Errorf("%s: the default of status is %v", kind, initial)
		}
		if d.crd.Spec.Versions[0].Subresources.Status == nil {
			t.Errorf("%s has no status subresource", kind)
		}
	}
}

func TestPrinterColumns(t *testing.T) {
	want := map[string]string{
		"Session":           "Class Status Auth Age | Pod Model Owner Credential Tokens",
		"SessionClass":      "Protocol Ready Status Default Age |",
		"APIProvider":       "Host Ready Age |",
		"Credential":        "Provider Sharing Ready Status Age |",
		"ClusterCredential": "Provider Kind Ready Status Last used Age |",
	}
	got := map[string]string{}
	for kind, d := range readDefinitions(t) {
		var always, wide string
		for _, column := range d.crd.Spec.Versions[0].AdditionalPrinterColumns {
			if column.Priority == 0 {
				always += column.Name + " "
			} else {
				wide += " " + column.Name
			}
		}
		got[kind] = always + "|" + wide
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
}

func TestNames(t *testing.T) {
	for kind, d := range readDefinitions(t) {
		if diff := cmp.Diff([]string{"sandkeep"}, d.crd.Spec.Names.Categories); diff != "" {
			t.Errorf("%s: categories (-want +got):\n%s", kind, diff)
		}
	}
}

// eachProperty visits every field of ours.
func eachProperty(t *testing.T, visit func(path string, schema *apiextensionsv1.JSONSchemaProps)) {
	t.Helper()
	for kind, d := range readDefinitions(t) {
		walk(d.schema(), "", func(path string, schema *apiextensionsv1.JSONSchemaProps) {
			isField := strings.HasPrefix(path, "spec") || strings.HasPrefix(path, "status")
			if isField && !strings.HasSuffix(path, "[]") && !strings.HasSuffix(path, "{}") {
				visit(join(kind, path), schema)
			}
		})
	}
}
