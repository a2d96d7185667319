package sandboxd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/agent"
	"github.com/sandkeep/sandkeep/internal/sandboxd/door"
	"github.com/sandkeep/sandkeep/internal/sandboxd/environment"
	"github.com/sandkeep/sandkeep/internal/sandboxd/failure"
	"github.com/sandkeep/sandkeep/internal/sandboxd/keyring"
	"github.com/sandkeep/sandkeep/internal/sandboxd/redact"
	"github.com/sandkeep/sandkeep/internal/sandboxd/transcript"
	"github.com/sandkeep/sandkeep/internal/sandboxd/workspace"
)

// run is one run on its way.
type run struct {
	*Sandbox
	config     contract.Config
	limit      int
	keys       []environment.Key
	redactor   *redact.Redactor
	transcript *transcript.Transcript
	workspace  *workspace.Workspace
	clones     []*workspace.Clone
	// agentStarted and pushStarted are what a report tells even when this program was killed.
	agentStarted, pushStarted bool
	// door is nil in a run without a gateway, ring in one to which the gateway hands out no key.
	door *door.Door
	ring *keyring.Ring
	// files are those that tell the agent about its providers, once they are written.
	files []contract.FileSpec
}

// configure reads what the manager wrote.
func (r *run) configure() *failure.Failure {
	data, err := os.ReadFile(filepath.Join(r.Dirs.Config, contract.ConfigFile))
	if err != nil {
		return failure.New(contract.AgentCrashed, "The sandbox's configuration cannot be read: %v", err)
	}
	if digest := variable(r.Environ, contract.ConfigDigestEnv); digest != contract.Digest(data) {
		return failure.New(contract.AgentCrashed, "The sandbox's configuration is not the one that its pod was made for; nothing was started")
	}
	if r.config, err = contract.DecodeConfig(data); err != nil {
		return failure.New(contract.AgentCrashed, "The sandbox's configuration cannot be understood: %v", err)
	}
	if r.config.ReportLimit > 0 {
		r.limit = r.config.ReportLimit
	}
	r.keys, err = environment.Keys(r.Environ, r.config.Credentials, r.keyPath, os.ReadFile)
	if err != nil {
		return failure.New(contract.ProviderAuthenticationFailed, "No agent was started: %v", err)
	}
	r.redactor = redact.New(values(r.keys)...)
	r.transcript = transcript.New(r.Stdout, r.config.LogFormat, r.redactor, r.Now)
	return nil
}

func values(keys []environment.Key) []string {
	var v []string
	for _, key := range keys {
		v = append(v, key.Value)
	}
	return v
}

func variable(env []string, name string) string {
	for _, v := range env {
		if len(v) > len(name) && v[:len(name)] == name && v[len(name)] == '=' {
			return v[len(name)+1:]
		}
	}
	return ""
}

// perform is a run with a configuration: clone, work, save, judge.
func (r *run) perform(ctx context.Context) contract.Report {
	hard, cancel := r.deadline(ctx)
	defer cancel()
	for _, step := range []func(context.Context) *failure.Failure{r.openDoor, r.fetchKeys, r.prepare} {
		fault := step(ctx)
		if fault != nil && ctx.Err() != nil {
			fault = failure.New(contract.Stopped, "The sandbox was asked to stop before the agent was started")
		}
		if fault != nil {
			return r.failed(fault.Class, fault.Message)
		}
	}
	defer r.workspace.CleanUp()
	result := r.work(ctx)
	saved := r.save(hard, result)
	saved.interrupted = ctx.Err() != nil
	return r.judge(result, saved)
}

// deadline is a context that outlives ctx by the time that a stop may take: the work is still saved in it.
func (r *run) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { time.AfterFunc(r.stopTime(), cancel) })
	return hard, cancel
}

// Of the grace period, an eighth (at most five seconds) is kept for the report and for the kubelet, whose clock started
// earlier; half of the rest is the agent's, the other half is for saving its work.
const (
	marginShare = 8
	maxMargin   = 5 * time.Second
	maxPatience = 10 * time.Second
)

// stopTime is how long everything may take after SIGTERM.
func (r *run) stopTime() time.Duration {
	grace := r.config.GracePeriod.Duration()
	return grace - min(grace/marginShare, maxMargin)
}

// patience is how much of it an agent may take to end.
func (r *run) patience() time.Duration { return min(r.stopTime()/2, maxPatience) }

// prepare clones the repositories.
func (r *run) prepare(ctx context.Context) *failure.Failure {
	if err := os.MkdirAll(r.Dirs.Home, 0o700); err != nil {
		return failure.New(contract.AgentCrashed, "The agent's home cannot be made: %v", err)
	}
	r.workspace = &workspace.Workspace{
		Dir: r.Dirs.Workspace, Tmp: r.Dirs.Tmp, Keep: r.config.KeepWorkspace, Run: r.config.Session.Run,
		Timeout: r.config.CloneTimeout.Duration(), Path: variable(r.Environ, "PATH"), Environ: r.surroundings(), Redactor: r.redactor, Tree: r.Tree,
	}
	if err := r.workspace.Prepare(); err != nil {
		return failure.New(contract.CloneFailed, "The workspace cannot be prepared: %v", err)
	}
	for _, repository := range r.config.Repositories {
		r.transcript.Note("Cloning %s into %s", workspace.PublicURL(repository.URL), repository.Path)
		clone, err := r.workspace.Clone(ctx, repository)
		if err != nil {
			r.workspace.CleanUp()
			return failure.New(contract.CloneFailed, "%s", err)
		}
		r.transcript.Note("%s", cloned(clone))
		r.clones = append(r.clones, clone)
	}
	return nil
}

// surroundings are the variables of the container, then those of the class and the session.
func (r *run) surroundings() []string {
	all := slices.Clone(r.Environ)
	for _, v := range r.config.Env {
		all = append(all, v.Name+"="+v.Value)
	}
	return all
}

func cloned(c *workspace.Clone) string {
	const short = 12
	at := "it has no commits yet"
	if c.Base != "" {
		at = "at commit " + c.Base[:short]
	}
	if c.Kept {
		return fmt.Sprintf("Found %s as an earlier run left it, %s", c.Path, at)
	}
	return fmt.Sprintf("Cloned %s, %s", c.Path, at)
}

// work runs the agent.
func (r *run) work(ctx context.Context) agent.Result {
	built := environment.Build(r.Environ, r.config, r.keys, r.place())
	if err := environment.WriteFiles(built.Files, r.Dirs.Home, r.Dirs.Private); err != nil {
		return agent.Result{Failure: failure.New(contract.AgentCrashed, "The agent's files cannot be written: %v", err)}
	}
	r.files = built.Files
	defer r.renewKeys(ctx)()
	job := &agent.Job{
		Agent: r.config.Agent, Prompt: r.config.Prompt, Model: r.config.Model,
		Dir: r.workDir(), Workspace: r.Dirs.Workspace, Home: r.Dirs.Home, Env: built.Env,
		Silence: r.config.SilenceTimeout.Duration(), Patience: r.patience(),
		Started: r.ready, OOMKills: func() int64 { return oomKills(r.Dirs.Cgroup) },
		Tree: r.Tree, Transcript: r.transcript, Redactor: r.redactor,
	}
	result := job.Run(ctx)
	r.shutDoor()
	if err := os.Remove(r.Dirs.readyFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
		r.transcript.Note("The sandbox still looks ready: %v", err)
	}
	return result
}

// ready lets the readiness probe pass, and the report tell that there may be work from now on.
func (r *run) ready() {
	r.agentStarted = true
	r.leaveInterim()
	r.transcript.Note("The agent has started")
	if err := os.WriteFile(r.Dirs.readyFile(), nil, 0o600); err != nil {
		r.transcript.Note("The sandbox will not look ready: %v", err)
	}
}

// workDir is the one repository, or the workspace where there is none or several.
func (r *run) workDir() string {
	if len(r.clones) == 1 {
		return r.clones[0].Dir
	}
	return r.Dirs.Workspace
}
