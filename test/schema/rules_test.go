package schema

import (
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

func TestEveryRuleHasAnInvalidFile(t *testing.T) {
	var wanted []string
	for _, c := range casesIn(t, "invalid") {
		wanted = append(wanted, c.want...)
	}
	eachRule(t, func(path string, rule apiextensionsv1.ValidationRule) {
		if !slices.Contains(wanted, rule.Message) {
			t.Errorf("%s: no file in testdata/invalid wants %q", path, rule.Message)
		}
	})
}

// A rule that speaks of the old object holds on the spec: on a field, it would miss that the field is added or removed.
func TestImmutableFieldsAreTestedInEveryWay(t *testing.T) {
	files := map[string]testCase{}
	for _, c := range casesIn(t, "invalid") {
		files[c.name] = c
	}
	eachRule(t, func(path string, rule apiextensionsv1.ValidationRule) {
		if !strings.Contains(rule.Rule, "oldSelf") {
			return
		}
		if !slices.Contains([]string{"Session.spec", "Credential.spec", "ClusterCredential.spec"}, path) {
			t.Errorf("%s: a rule that speaks of oldSelf must be on the spec", path)
		}
		ways := waysTested(files, rule.Message)
		for _, way := range waysNeeded(rule) {
			if !slices.Contains(ways, way) {
				t.Errorf("%s: no file in testdata/invalid wants %q and ends in -%s", path, rule.Message, way)
			}
		}
	})
}

// waysNeeded: a required field can only be changed, and a prompt cannot be added, since a Task has one from the start.
func waysNeeded(rule apiextensionsv1.ValidationRule) []string {
	switch {
	case !strings.Contains(rule.Rule, "has("):
		return []string{"change"}
	case strings.HasPrefix(rule.Message, "prompt "):
		return []string{"change", "remove"}
	}
	return []string{"change", "add", "remove"}
}

func waysTested(files map[string]testCase, message string) []string {
	var ways []string
	for name, c := range files {
		if slices.Contains(c.want, message) && len(c.objects) == 2 {
			ways = append(ways, name[strings.LastIndex(name, "-")+1:])
		}
	}
	return ways
}

// TestRefusalsDoNotRepeatTexts: the API server puts the value of a text that a rule refuses into its answer, unless the rule forbids it. People
// paste keys into any field.
func TestRefusalsDoNotRepeatTexts(t *testing.T) {
	for kind, d := range readDefinitions(t) {
		walk(d.schema(), "", func(path string, schema *apiextensionsv1.JSONSchemaProps) {
			for _, rule := range schema.XValidations {
				if schema.Type == "string" && (rule.Reason == nil || *rule.Reason != apiextensionsv1.FieldValueForbidden) {
					t.Errorf("%s: the rule %q must have reason FieldValueForbidden", join(kind, path), rule.Message)
				}
			}
		})
	}
}

func TestMessagesTellWhatMustBe(t *testing.T) {
	eachRule(t, func(path string, rule apiextensionsv1.ValidationRule) {
		if !strings.Contains(rule.Message, " must ") {
			t.Errorf("%s: message %q does not say what must be", path, rule.Message)
		}
		if strings.HasSuffix(rule.Message, ".") {
			t.Errorf("%s: message %q ends with a dot", path, rule.Message)
		}
	})
}

func eachRule(t *testing.T, visit func(path string, rule apiextensionsv1.ValidationRule)) {
	t.Helper()
	for kind, d := range readDefinitions(t) {
		walk(d.schema(), "", func(path string, schema *apiextensionsv1.JSONSchemaProps) {
			for _, rule := range schema.XValidations {
				visit(join(kind, path), rule)
			}
		})
	}
}
