// Package agent runs coding agents and understands what they say: over the Agent Client Protocol, or as a command with a
// named output format.
package agent

import (
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/failure"
)

// kind says what an event is.
type kind int

const (
	// said is a piece of the agent's answer.
	said kind = iota
	// ended closes a message: what is said next is another one.
	ended
	// called is a tool call, or news of one.
	called
	// finished is a step of the agent's work that the model has completed.
	finished
	// used is the whole usage so far; usedMore adds to it.
	used
	usedMore
	// failed is an error that the agent reports; work that follows takes it back.
	failed
	// lost is an error that nothing takes back: the agent's own verdict on the run.
	lost
	// concluded is the agent's own choice of its last words.
	concluded
	// remarked is news of the agent's own troubles that it goes on from, such as a retry.
	remarked
	// stray is output that is not in the promised format: it is shown, and counts for nothing.
	stray
)

// event is one thing that an agent lets know, whatever its protocol.
type event struct {
	kind kind
	text string
	// message is the id of the message that text belongs to, where the protocol numbers them.
	message string
	tool    tool
	usage   contract.Usage
	cause   failure.Cause
}

// tool is a tool call as the transcript shows it.
type tool struct{ id, kind, title, status string }

// The states of a tool call, in the words of the Agent Client Protocol.
const (
	// statusPending is announced before the tool's input is known; it is worth no line.
	statusPending    = "pending"
	statusInProgress = "in_progress"
	statusCompleted  = "completed"
	statusFailed     = "failed"
)
