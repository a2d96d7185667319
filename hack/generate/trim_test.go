package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func TestTrimPodTemplates(t *testing.T) {
	cases := map[string]struct{ in, want string }{
		"descriptions below podTemplate go, its own stays": {
			in:   `{properties: {podTemplate: {description: ours, properties: {spec: {description: core, type: object}}}}}`,
			want: `{properties: {podTemplate: {description: ours, properties: {spec: {type: object}}}}}`,
		},
		"descriptions beside podTemplate stay": {
			in:   `{properties: {agent: {description: ours}, podTemplate: {description: ours}}}`,
			want: `{properties: {agent: {description: ours}, podTemplate: {description: ours}}}`,
		},
		"a property that is called description stays": {
			in:   `{podTemplate: {properties: {description: {type: string, description: core}}}}`,
			want: `{podTemplate: {properties: {description: {type: string}}}}`,
		},
		"versions in a list are searched": {
			in:   `{versions: [{podTemplate: {properties: {spec: {description: core}}}}]}`,
			want: `{versions: [{podTemplate: {properties: {spec: {}}}}]}`,
		},
		"descriptions in lists of schemas go": {
			in:   `{podTemplate: {properties: {port: {anyOf: [{type: string, description: core}]}}}}`,
			want: `{podTemplate: {properties: {port: {anyOf: [{type: string}]}}}}`,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, want := parse(t, c.in), parse(t, c.want)
			trimPodTemplates(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("trimmed schema (-want +got):\n%s", diff)
			}
		})
	}
}

func parse(t *testing.T, text string) any {
	t.Helper()
	var node any
	if err := yaml.Unmarshal([]byte(text), &node); err != nil {
		t.Fatal(err)
	}
	return node
}
