package main

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChoose(t *testing.T) {
	shipped := func(a audience) bool { return a == forEveryone }
	usual := func(a audience) bool { return a != forOneself }
	for name, tc := range map[string]struct {
		names     []string
		byDefault func(audience) bool
		want      []string
	}{
		"what is built without names":   {nil, usual, []string{"sandkeep", "opencode", "fixture"}},
		"what is pushed without names":  {nil, shipped, []string{"sandkeep", "opencode"}},
		"names in the order given":      {[]string{"fixture", "sandkeep"}, usual, []string{"fixture", "sandkeep"}},
		"what is built only when named": {[]string{"claude-code"}, usual, []string{"claude-code"}},
	} {
		t.Run(name, func(t *testing.T) {
			chosen, err := choose(tc.names, tc.byDefault)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, imageNames(chosen)); diff != "" {
				t.Errorf("chosen (-want +got):\n%s", diff)
			}
		})
	}
}

func TestChooseUnknown(t *testing.T) {
	_, err := choose([]string{"sandkeep", "opnecode"}, nil)
	wantError(t, err, `"opnecode"`, "sandkeep, opencode, fixture, claude-code")
}

func TestEveryImageRunsAsANumberedUserThatIsNotRoot(t *testing.T) {
	want := map[string]string{
		"sandkeep": "65532:65532", "opencode": "10001:10001", "fixture": "10001:10001", "claude-code": "10001:10001",
	}
	got := map[string]string{}
	for _, d := range catalog() {
		got[d.name] = d.config.User
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
}

func TestProprietaryProgramsAreForOneself(t *testing.T) {
	for _, d := range catalog() {
		if d.license == "LicenseRef-proprietary" && d.audience != forOneself {
			t.Errorf("%s would be built or pushed without being asked for", d.name)
		}
		if d.name == "claude-code" && d.license != "LicenseRef-proprietary" {
			t.Errorf("%s claims the licence %s", d.name, d.license)
		}
	}
}

func TestAgentsAreCommandsAndTheFixtureIsAnEntrypoint(t *testing.T) {
	chosen, err := choose([]string{"opencode", "fixture"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	opencode, fixture := chosen[0].config, chosen[1].config
	if !slices.Equal(opencode.Cmd, []string{"/usr/local/bin/opencode"}) || opencode.Entrypoint != nil {
		t.Errorf("opencode runs %v %v", opencode.Entrypoint, opencode.Cmd)
	}
	if !slices.Equal(fixture.Entrypoint, []string{"/usr/local/bin/fixture"}) || fixture.Cmd != nil {
		t.Errorf("fixture runs %v %v", fixture.Entrypoint, fixture.Cmd)
	}
}
