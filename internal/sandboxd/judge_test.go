package sandboxd

import (
	"strings"
	"testing"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/agent"
	"github.com/sandkeep/sandkeep/internal/sandboxd/failure"
	"github.com/sandkeep/sandkeep/internal/sandboxd/redact"
)

// TestI8AnErrorDecidesNothing: where an error hid what an agent did, a run neither succeeds by it nor fails without naming it.
func TestI8AnErrorDecidesNothing(t *testing.T) {
	const hidden = "app: timed out after 10m0s"
	tests := map[string]struct {
		saved    rescued
		answered bool
		class    contract.FailureClass
		says     string
	}{
		"a silent agent that changed nothing":        {rescued{}, false, contract.AgentSilent, "without an answer, a tool call or a change"},
		"a silent agent that changed something":      {rescued{worked: true, unsaved: true}, false, "", ""},
		"a silent agent whose work is hidden":        {rescued{unseen: true, unsaved: true}, false, contract.AgentSilent, "what it changed cannot be seen"},
		"and that was asked to stop":                 {rescued{unseen: true, unsaved: true, interrupted: true}, false, contract.Stopped, "before it could see"},
		"and that was to be pushed":                  {rescued{unseen: true, unsaved: true, problems: []string{hidden}}, false, contract.PushRejected, hidden},
		"and that was to be pushed before a stop":    {rescued{unseen: true, unsaved: true, problems: []string{hidden}, interrupted: true}, false, contract.Stopped, hidden},
		"an answer of an agent whose work is hidden": {rescued{unseen: true, unsaved: true}, true, "", ""},
		"a change in one repository and an error in another": {
			rescued{worked: true, unseen: true, unsaved: true, problems: []string{hidden}}, false, contract.PushRejected, hidden,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := &run{redactor: redact.New()}
			got := r.judge(agent.Result{Evidence: tt.answered}, tt.saved)
			if got.Class != tt.class || !strings.Contains(got.Message, tt.says) || (tt.class == "") != (got.Outcome == contract.OutcomeSucceeded) {
				t.Errorf("got %+v, want %q, saying %q", got, tt.class, tt.says)
			}
			if got.UnsavedChanges != tt.saved.unsaved {
				t.Errorf("unsaved changes %t", got.UnsavedChanges)
			}
		})
	}
}

// TestI11AFailureTellsOfWorkThatIsThere: only a volume still holds it when the message is read.
func TestI11AFailureTellsOfWorkThatIsThere(t *testing.T) {
	for _, kept := range []bool{false, true} {
		r := &run{redactor: redact.New(), config: contract.Config{KeepWorkspace: kept}}
		got := r.judge(agent.Result{Failure: failure.New(contract.Stopped, "It was asked to stop")}, rescued{unsaved: true})
		if told := strings.Contains(got.Message, "there is work in the workspace"); told != kept || !got.UnsavedChanges {
			t.Errorf("on a volume %t: report %+v", kept, got)
		}
	}
}

// TestI11AFailureOfOurOwnWarnsOfLoss: a run without a transcript fails at its first word.
func TestI11AFailureOfOurOwnWarnsOfLoss(t *testing.T) {
	for _, started := range []bool{false, true} {
		r := &run{Sandbox: &Sandbox{}, limit: fallbackLimit, redactor: redact.New(), agentStarted: started}
		got := r.do(t.Context())
		if got.Class != contract.AgentCrashed || !strings.HasPrefix(got.Message, "The sandbox's own program failed") || got.UnsavedChanges != started {
			t.Errorf("the agent has started %t: report %+v", started, got)
		}
	}
}
