package sandboxd_test

import (
	"os"
	"path/filepath"
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

// TestI11TheInterimReportTellsWhetherThereMayBeWork: who is killed while cloning loses nothing.
func TestI11TheInterimReportTellsWhetherThereMayBeWork(t *testing.T) {
	tests := map[string]struct {
		owner, file string
		started     bool
	}{
		"while repositories are cloned": {"/hang/", "workspace/.sandkeep-clone", false},
		"while the agent is at work":    {"/demo/", "sandkeep/private/ready", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := strings.Replace(newOrigin(t).url, "/demo/", tt.owner, 1)
			s := newSandbox(t, "text", "hang").with(contract.Repository{URL: url, Path: "app"})
			s.start()
			s.waitFor("the sandbox", func() bool { return exists(filepath.Join(s.root, tt.file)) })
			message, err := os.ReadFile(s.dirs.TerminationLog)
			must(t, err)
			report, err := contract.DecodeReport(string(message))
			must(t, err)
			if !report.Interim || report.AgentStarted != tt.started {
				t.Errorf("report %+v", report)
			}
			s.stop()
			wantFailure(t, s.end(), contract.Stopped)
		})
	}
}
