// Package sandboxd runs one agent once, inside its sandbox: it prepares the workspace, runs the agent, brings its work to
// the git servers and reports what happened. Everything it reports is a claim, because the agent runs beside it with the
// same uid; what can be done so that the claim is true is done here.
package sandboxd

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/process"
	"github.com/sandkeep/sandkeep/internal/sandboxd/redact"
	"github.com/sandkeep/sandkeep/internal/sandboxd/transcript"
)

// Dirs are the places of a sandbox.
type Dirs struct {
	Config, Credentials, Private, Workspace, Home, Tmp string
	// TerminationLog is the file for the report, Cgroup where the sandbox's own control group is mounted.
	TerminationLog, Cgroup string
	// Gateway is where the token for the gateway is, Door the address at which the agent reaches it.
	Gateway, Door string
}

// SandboxDirs are the places as the manager mounts them, below root: "/", but for tests.
func SandboxDirs(root string) Dirs {
	return Dirs{
		Config:         filepath.Join(root, contract.ConfigDir),
		Credentials:    filepath.Join(root, contract.CredentialsDir),
		Private:        filepath.Join(root, contract.PrivateDir),
		Workspace:      filepath.Join(root, contract.WorkspaceDir),
		Home:           filepath.Join(root, contract.HomeDir),
		Tmp:            filepath.Join(root, "tmp"),
		TerminationLog: filepath.Join(root, contract.TerminationLog),
		Cgroup:         filepath.Join(root, "sys/fs/cgroup"),
		Gateway:        filepath.Join(root, contract.GatewayDir),
		Door:           contract.ProxyAddress,
	}
}

// readyFile is contract.ReadyFile below these Dirs.
func (d Dirs) readyFile() string { return filepath.Join(d.Private, filepath.Base(contract.ReadyFile)) }

// IsReady reports that the agent is at work.
func (d Dirs) IsReady() bool {
	_, err := os.Stat(d.readyFile())
	return err == nil
}

// Sandbox is everything that a run needs from outside.
type Sandbox struct {
	Dirs    Dirs
	Environ []string
	Stdout  io.Writer
	Now     func() time.Time
	Tree    *process.Tree
}

// Exit codes of a run.
const (
	exitSucceeded = 0
	exitFailed    = 1
)

// Run does the whole job and leaves a report, whatever happens. When ctx ends, the agent is stopped and its work is saved,
// all within the grace period.
func (s *Sandbox) Run(ctx context.Context) int {
	r := &run{Sandbox: s, limit: fallbackLimit, redactor: redact.New()}
	r.transcript = transcript.New(s.Stdout, contract.LogFormatText, r.redactor, s.Now)
	report := r.do(ctx)
	r.transcript.Flush()
	err := r.write(report)
	r.closeDoor(ctx, report)
	r.transcript.End(report)
	if err != nil {
		r.transcript.Note("The report cannot be written: %v", err)
		return exitFailed
	}
	if report.Outcome != contract.OutcomeSucceeded {
		return exitFailed
	}
	return exitSucceeded
}

// do never panics: a report that says what went wrong is worth more than a stack trace that nobody keeps.
func (r *run) do(ctx context.Context) (report contract.Report) {
	defer func() {
		if p := recover(); p != nil {
			report = r.failed(contract.AgentCrashed, fmt.Sprintf("The sandbox's own program failed: %v", p))
			report.UnsavedChanges = r.agentStarted // nobody has looked, and it is better to warn in vain
		}
	}()
	r.leaveInterim()
	if fault := r.configure(); fault != nil {
		return r.failed(fault.Class, fault.Message)
	}
	return r.perform(ctx)
}
