package sandboxd

import (
	"context"
	"fmt"
	"strings"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/agent"
	"github.com/sandkeep/sandkeep/internal/sandboxd/failure"
	"github.com/sandkeep/sandkeep/internal/sandboxd/workspace"
)

// rescued is what became of the work in all repositories.
type rescued struct {
	commits []contract.Commit
	worked  bool
	// unseen is true when an error hid what became of a repository.
	unseen   bool
	unsaved  bool
	loose    bool
	problems []string
	// interrupted is true when the sandbox was asked to stop before all of it was done.
	interrupted bool
}

// save brings home what it can, also after a failure: what an agent did until then is the user's.
func (r *run) save(ctx context.Context, result agent.Result) rescued {
	all := r.saveClones(ctx, result)
	all.loose = r.leavesLoose(ctx)
	return all
}

// leavesLoose tells of files outside the repositories. A volume keeps them, and it may hold those of earlier runs and of others.
func (r *run) leavesLoose(ctx context.Context) bool {
	if r.config.KeepWorkspace {
		return false
	}
	file := r.workspace.Loose(ctx, r.clones)
	if file != "" {
		r.transcript.Note("The workspace, which goes with the pod, holds files that belong to no repository: %s, for one", file)
	}
	return file != ""
}

// saveClones brings the work of every repository home.
func (r *run) saveClones(ctx context.Context, result agent.Result) rescued {
	var all rescued
	if len(r.clones) == 0 {
		return all
	}
	r.workspace.CleanUp()
	if err := r.workspace.Prepare(); err != nil {
		for _, clone := range r.clones {
			all.add(clone, workspace.Saved{Unseen: true, Unsaved: true, Problem: err.Error()})
		}
		r.transcript.Note("The work cannot be saved: %v", err)
		return all
	}
	message := r.commitMessage(result.Summary)
	for _, clone := range r.clones {
		saved := r.workspace.Save(ctx, clone, message, r.pushing)
		all.add(clone, saved)
		r.tell(clone, saved)
	}
	return all
}

func (all *rescued) add(clone *workspace.Clone, saved workspace.Saved) {
	all.worked = all.worked || saved.Worked
	all.unseen = all.unseen || saved.Unseen
	all.unsaved = all.unsaved || saved.Unsaved
	if saved.Commit.Commit != "" {
		all.commits = append(all.commits, saved.Commit)
	}
	if saved.Problem != "" && clone.PushBranch != "" {
		all.problems = append(all.problems, clone.Path+": "+saved.Problem)
	}
}

func (r *run) tell(clone *workspace.Clone, saved workspace.Saved) {
	switch {
	case saved.Problem != "":
		r.transcript.Note("%s: %s", clone.Path, saved.Problem)
	case saved.Commit.Pushed:
		r.transcript.Note("Pushed %s to %s of %s", saved.Commit.Commit, clone.PushBranch, saved.Commit.Repository)
	case clone.PushBranch != "":
		r.transcript.Note("There is nothing to push from %s", clone.Path)
	}
	if saved.Unsaved {
		r.transcript.Note("%s holds work that is on no branch of its origin", clone.Path)
	}
}

// pushing is called before anything may reach a git server. The report that is left behind from now on says so, whatever
// becomes of this program.
func (r *run) pushing() {
	r.pushStarted = true
	r.leaveInterim()
}

// maxSubject is the length that git's own tools show of a commit's first line.
const maxSubject = 72

// commitMessage describes what an agent left uncommitted, in the first line of its own last words where it had any.
func (r *run) commitMessage(summary string) string {
	subject, _, _ := strings.Cut(strings.TrimSpace(r.clean(summary)), "\n")
	if subject = contract.OneLine(strings.TrimLeft(subject, "# *-"), maxSubject); subject == "" {
		subject = "Work of session " + r.config.Session.Name
	}
	return fmt.Sprintf("%s\n\nSandkeep-Session: %s/%s\nSandkeep-Run: %d\n", subject, r.config.Session.Namespace, r.config.Session.Name, r.config.Session.Run)
}

// withoutEvidence is the failure of a run that nothing shows to have worked. Where an error hid what the agent did, silence is not
// the cause: it is nil when the error is a reason to fail by itself.
func (all *rescued) withoutEvidence() *failure.Failure {
	switch {
	case !all.unseen:
		return failure.New(contract.AgentSilent, "The agent ended without an answer, a tool call or a change; check the model and the credential, and see the session's log")
	case len(all.problems) > 0:
		return nil
	case all.interrupted:
		return failure.New(contract.Stopped, "The sandbox was asked to stop before it could see what the agent had done")
	default:
		return failure.New(contract.AgentSilent, "The agent ended without an answer or a tool call, and what it changed cannot be seen; see the session's log for the reason")
	}
}

// judge makes the report. Success takes the agent's claim, evidence of work (what it said or did, or a change in a
// repository: a program that edits files and prints nothing has worked), and that everything to be pushed was pushed.
func (r *run) judge(result agent.Result, saved rescued) contract.Report {
	problems := strings.Join(saved.problems, "; ")
	fault := result.Failure
	if fault == nil && !result.Evidence && !saved.worked {
		fault = saved.withoutEvidence()
	}
	switch {
	case fault == nil && problems != "" && saved.interrupted:
		fault = failure.New(contract.Stopped, "The sandbox was asked to stop before the work was pushed: %s", problems)
	case fault == nil && problems != "":
		fault = failure.New(contract.PushRejected, "The work could not be pushed: %s", problems)
	case problems != "":
		fault.Message += "; its work could not be pushed: " + problems
	case fault != nil && saved.unsaved && r.config.KeepWorkspace: // else it is gone with the pod, which the manager tells
		fault.Message += "; there is work in the workspace that was not pushed"
	}
	fault = r.afterGateway(fault)
	report := contract.Report{Outcome: contract.OutcomeSucceeded}
	if fault != nil {
		report = r.failed(fault.Class, fault.Message)
		report.RetryAfterSeconds = int64(fault.RetryAfter.Seconds())
	}
	report.Summary, report.Usage = r.ownWords(result.Summary), result.Usage
	report.Commits, report.PushStarted = saved.commits, r.pushStarted
	report.UnsavedChanges, report.LooseFiles = saved.unsaved, saved.loose
	return report
}
