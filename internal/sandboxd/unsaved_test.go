package sandboxd_test

import (
	"strings"
	"testing"

	"github.com/sandkeep/sandkeep/internal/contract"
)

// TestI11LooseFilesAreTold: files outside the repositories go with a workspace that is no volume. Who writes none hears of none.
func TestI11LooseFilesAreTold(t *testing.T) {
	tests := map[string]struct {
		prompt            string
		repository, kept  bool
		loose, unsavedToo bool
	}{
		"a greeting":                       {prompt: "say hello"},
		"a greeting beside a repository":   {prompt: "say hello", repository: true},
		"a file":                           {prompt: "say hello\nwrite notes.md x", loose: true},
		"a file of an agent that fails":    {prompt: "write notes.md x\nexit 1", loose: true},
		"a file on a volume":               {prompt: "say hello\nwrite notes.md x", kept: true},
		"a file beside a repository":       {prompt: "say hello\nwrite ../notes.md x", repository: true, loose: true},
		"a file in a repository":           {prompt: "say hello\nwrite notes.md x", repository: true, unsavedToo: true},
		"a file here and one in the other": {prompt: "say hello\nwrite a x\nwrite ../b x", repository: true, loose: true, unsavedToo: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSandbox(t, "text", tt.prompt)
			s.config.KeepWorkspace = tt.kept
			if tt.repository {
				s.with(contract.Repository{URL: newOrigin(t).url, Path: "app"})
			}
			r := s.run()
			if r.LooseFiles != tt.loose || r.UnsavedChanges != tt.unsavedToo {
				t.Errorf("report %+v", r)
			}
			if told := strings.Contains(s.out.String(), "belong to no repository"); told != tt.loose {
				t.Errorf("told in the log: %t", told)
			}
		})
	}
}
