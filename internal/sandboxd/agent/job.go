package agent

import (
	"context"
	"time"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/failure"
	"github.com/sandkeep/sandkeep/internal/sandboxd/process"
	"github.com/sandkeep/sandkeep/internal/sandboxd/redact"
	"github.com/sandkeep/sandkeep/internal/sandboxd/transcript"
)

// Job is one prompt for one agent.
type Job struct {
	Agent  contract.Agent
	Prompt string
	Model  string
	// Dir is where the agent works; Workspace and Home replace the words of those names in its arguments.
	Dir, Workspace, Home string
	// Env is the agent's whole environment.
	Env []string
	// Silence ends an agent that prints nothing for so long; 0: never.
	Silence time.Duration
	// Patience is how long an agent has to end after it was asked to.
	Patience time.Duration
	// Handshake bounds everything that an ACP agent does before it works on the prompt; 0: a minute for each step.
	Handshake time.Duration
	// Started is called when the agent's process runs.
	Started func()
	// OOMKills counts the processes of the sandbox that the kernel killed for want of memory.
	OOMKills func() int64

	Tree       *process.Tree
	Transcript *transcript.Transcript
	// Redactor knows the keys that must not get into the Result.
	Redactor *redact.Redactor
}

// Result is what an agent did, by its own account.
type Result struct {
	// Failure is nil when the agent claims success.
	Failure *failure.Failure
	// Evidence is true when the agent said or did something; without it nobody believes the claim.
	Evidence bool
	Summary  string
	Usage    contract.Usage
}

// Run runs the agent until it is done or fails, or until ctx ends, which stops it. No process of it is left in its group.
func (j *Job) Run(ctx context.Context) Result {
	rec := newRecord(j.Transcript, j.Redactor, j.Prompt)
	r, fault := j.start(rec)
	if fault != nil {
		return Result{Failure: fault}
	}
	if j.Agent.Protocol == contract.ProtocolACP {
		fault = r.converse(ctx)
	} else {
		fault = r.command(ctx)
	}
	j.Transcript.Flush()
	return Result{Failure: fault, Evidence: rec.evidence(), Summary: rec.summary(), Usage: rec.usage}
}
