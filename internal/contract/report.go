package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Outcome is how a run ended.
type Outcome string

// The outcomes.
const (
	// OutcomeSucceeded is claimed only with evidence of work.
	OutcomeSucceeded Outcome = "Succeeded"
	// OutcomeFailed always comes with a FailureClass and a message that names the real cause.
	OutcomeFailed Outcome = "Failed"
)

// FailureClass says what went wrong; what follows from it (retry, wait, fail) is the manager's decision.
type FailureClass string

// The failure classes that sandboxd reports. The manager adds those that it alone can see (Evicted, NodeLost, ...).
const (
	CloneFailed                  FailureClass = "CloneFailed"
	AgentCrashed                 FailureClass = "AgentCrashed"
	AgentSilent                  FailureClass = "AgentSilent"
	ProviderAuthenticationFailed FailureClass = "ProviderAuthenticationFailed"
	ProviderRateLimited          FailureClass = "ProviderRateLimited"
	ProviderQuotaExhausted       FailureClass = "ProviderQuotaExhausted"
	ProviderUnavailable          FailureClass = "ProviderUnavailable"
	ContextOverflow              FailureClass = "ContextOverflow"
	OutOfMemory                  FailureClass = "OutOfMemory"
	PushRejected                 FailureClass = "PushRejected"
	// Stopped is the answer to SIGTERM: somebody wanted the pod to end before the agent did.
	Stopped FailureClass = "Stopped"
)

// failureClasses are all that a sandbox may claim. A class that only the manager can see, with retries that nothing counts,
// is not the sandbox's to choose.
var failureClasses = []FailureClass{
	CloneFailed, AgentCrashed, AgentSilent, ProviderAuthenticationFailed, ProviderRateLimited, ProviderQuotaExhausted,
	ProviderUnavailable, ContextOverflow, OutOfMemory, PushRejected, Stopped,
}

// Report is what sandboxd leaves behind when it ends: a claim of the sandbox, never trusted further than that.
type Report struct {
	Outcome Outcome      `json:"outcome"`
	Class   FailureClass `json:"class,omitempty"`
	// Message says what happened and what to do next, in one line.
	Message string `json:"message,omitempty"`
	// RetryAfterSeconds is the provider's own wish, where it gave one.
	RetryAfterSeconds int64 `json:"retryAfterSeconds,omitempty"`
	// Summary is the agent's last words.
	Summary string `json:"summary,omitempty"`
	// Commits are the heads that this run made, pushed or not.
	Commits []Commit `json:"commits,omitempty"`
	// Usage is what the agent said it used.
	Usage Usage `json:"usage,omitzero"`
	// Interim is true for a report that was left behind while the run went on. Whoever finds it knows that sandboxd ended
	// before it could say how the run did.
	Interim bool `json:"interim,omitempty"`
	// AgentStarted is true in an interim report once the agent has run, and so may have left work.
	AgentStarted bool `json:"agentStarted,omitempty"`
	// PushStarted is true once anything may have reached a git server.
	PushStarted bool `json:"pushStarted,omitempty"`
	// UnsavedChanges is true when the workspace holds work that is on no branch of an origin.
	UnsavedChanges bool `json:"unsavedChanges,omitempty"`
	// LooseFiles is true when files that belong to no repository are lost with a workspace that is no volume.
	LooseFiles bool `json:"looseFiles,omitempty"`
}

// Commit is the head that a run left in one repository.
type Commit struct {
	Repository string `json:"repository"`
	Branch     string `json:"branch,omitempty"`
	Commit     string `json:"commit"`
	Pushed     bool   `json:"pushed,omitempty"`
}

// Usage counts what an agent used, by its own account.
type Usage struct {
	Requests     int64 `json:"requests,omitempty"`
	InputTokens  int64 `json:"inputTokens,omitempty"`
	OutputTokens int64 `json:"outputTokens,omitempty"`
}

// errNotAReport is returned for JSON that no sandboxd wrote.
var errNotAReport = errors.New("the termination message is not a report")

// DecodeReport reads a termination message. Anything but a whole report with a known outcome and class is an error, so that
// a broken one is never taken for success, nor a forged one for what Kubernetes says.
func DecodeReport(message string) (Report, error) {
	var r Report
	if err := json.Unmarshal([]byte(message), &r); err != nil {
		return Report{}, fmt.Errorf("%w: %w", errNotAReport, err)
	}
	switch {
	case r.Outcome == OutcomeSucceeded && r.Class == "":
		return r, nil
	case r.Outcome == OutcomeFailed && slices.Contains(failureClasses, r.Class):
		return r, nil
	default:
		return Report{}, errNotAReport
	}
}

// Encode is the report as JSON of at most limit bytes: texts are cut, the longest first, then commits are dropped from the
// end, and texts at last. Outcome and class are kept.
func (r Report) Encode(limit int) ([]byte, error) {
	for {
		data, err := json.Marshal(r)
		if err != nil {
			return nil, fmt.Errorf("encode the report: %w", err)
		}
		if len(data) <= limit {
			return data, nil
		}
		if !r.shrink(len(data) - limit) {
			return nil, fmt.Errorf("encode the report: %d bytes do not fit into %d", len(data), limit)
		}
	}
}

// shrink makes the report smaller by about excess bytes, at least by one; false when nothing is left to take away.
func (r *Report) shrink(excess int) bool {
	longest := &r.Summary
	if len(r.Message) > len(r.Summary) {
		longest = &r.Message
	}
	const keep = 64
	switch {
	case len(*longest) > 2*keep:
		*longest = truncate(*longest, max(keep, len(*longest)-excess-len(ellipsis)))
	case len(r.Commits) > 0:
		r.Commits = r.Commits[:len(r.Commits)-1]
	case r.Summary != "":
		r.Summary = ""
	case r.Message != "":
		r.Message = ""
	default:
		return false
	}
	return true
}
