package schema

import (
	"testing"

	apiextensionsvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
)

// The API server refuses a CRD with a rule that could cost too much, which is the first thing to break when a bound is
// raised.
func TestDefinitionsAreAccepted(t *testing.T) {
	for kind, d := range readDefinitions(t) {
		t.Run(kind, func(t *testing.T) {
			for _, err := range apiextensionsvalidation.ValidateCustomResourceDefinition(t.Context(), d.internal) {
				t.Error(err)
			}
		})
	}
}

func TestSchema(t *testing.T) {
	checkCases(t, readDefinitions(t))
}

func TestServer(t *testing.T) {
	checkCases(t, newRealServer(t))
}

func checkCases(t *testing.T, s server) {
	t.Helper()
	for _, c := range casesIn(t, "valid") {
		t.Run("valid/"+c.name, func(t *testing.T) { checkValid(t, s, c) })
	}
	for _, c := range casesIn(t, "invalid") {
		t.Run("invalid/"+c.name, func(t *testing.T) { checkInvalid(t, s, c) })
	}
}
