package workspace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sandkeep/sandkeep/internal/contract"
)

// Saved is what became of one repository.
type Saved struct {
	// Commit is the head that the run left; Commit.Commit is empty when the run made nothing.
	Commit contract.Commit
	// Worked is true when the agent committed or changed anything: evidence of work. A commit that the origin has already is
	// none, whatever is checked out. In a clone of an earlier run only commits count, because changes may have been there before.
	Worked bool
	// Unseen is true when an error hid what the agent did. Work is then neither proven nor ruled out.
	Unseen bool
	// Unsaved is true when there is work that is on no branch of the origin.
	Unsaved bool
	// Problem says why what should have been pushed is not, or what could not be saved; empty when all went well.
	Problem string
}

// errNotDescending is returned for a history that was rewritten below the clone's head.
var errNotDescending = errors.New("its checked out commit is not built upon the commit that was cloned")

// Save commits what the agent left uncommitted and pushes the result, where the repository has a branch to push to, and says
// what remains. beforePush is called when a push is about to begin.
func (w *Workspace) Save(ctx context.Context, c *Clone, message string, beforePush func()) Saved {
	saved := Saved{Commit: contract.Commit{Repository: PublicURL(c.URL), Branch: c.PushBranch}}
	s, err := w.open(c)
	if err != nil {
		return saved.hidden(err)
	}
	defer func() { _ = s.root.Close() }()
	if c.PushBranch == "" {
		saved = s.inspect(ctx, saved)
	} else {
		saved = s.bring(ctx, w, saved, message, beforePush)
	}
	if c.Kept {
		made, err := s.made(ctx, s.refs.head)
		saved.Worked, saved.Unseen = made, saved.Unseen || err != nil
	}
	return saved
}

// lost notes that work could not be saved.
func (s Saved) lost(err error) Saved {
	s.Unsaved = true
	s.Problem = err.Error()
	return s
}

// hidden notes that work could not be looked at. What the agent did to the clone is evidence of work; any other error is none.
func (s Saved) hidden(err error) Saved {
	if isDamage(err) {
		s.Worked = true
	} else {
		s.Unseen = true
	}
	return s.lost(err)
}

// inspect finds out what there is, without changing or sending anything.
func (s *store) inspect(ctx context.Context, saved Saved) Saved {
	made, err := s.made(ctx, s.refs.head)
	if err != nil {
		return saved.hidden(err)
	}
	if made {
		saved.Commit.Commit = s.refs.head
		saved.Worked = true
	}
	changed, err := s.hasChanges(ctx)
	if err != nil {
		return saved.hidden(err)
	}
	saved.Worked = saved.Worked || changed
	ahead, err := s.anyUnknown(ctx, s.allCommits(), s.clone.origin)
	if err != nil {
		return saved.hidden(err)
	}
	saved.Unsaved = changed || ahead
	return saved
}

// made reports that the run made a commit: it is there, and neither the origin nor what the run began with has it.
func (s *store) made(ctx context.Context, commit string) (bool, error) {
	if commit == "" || commit == s.clone.Base {
		return false, nil
	}
	if err := s.checkCommit(ctx, commit); err != nil {
		return false, err
	}
	known := s.clone.origin
	if s.clone.Base != "" {
		known = append([]string{s.clone.Base}, known...)
	}
	return s.anyUnknown(ctx, []string{commit}, known)
}

// hasChanges reports that the work tree differs from what is checked out.
func (s *store) hasChanges(ctx context.Context) (bool, error) {
	if err := s.readHead(ctx); err != nil {
		return false, err
	}
	changed := false
	err := s.records(ctx, func(string) { changed = true }, "status", "--porcelain", "-z", "--ignore-submodules=all", "--untracked-files=normal")
	return changed, err
}

// allCommits are the heads of everything in the workspace.
func (s *store) allCommits() []string {
	var commits []string
	for _, commit := range s.refs.all {
		commits = append(commits, commit)
	}
	if s.refs.head != "" {
		commits = append(commits, s.refs.head)
	}
	slices.Sort(commits)
	return slices.Compact(commits)
}

// bring commits and pushes. The agent's own commits are pushed even where its uncommitted changes cannot be committed.
func (s *store) bring(ctx context.Context, w *Workspace, saved Saved, message string, beforePush func()) Saved {
	if err := s.checkHead(ctx); err != nil {
		return saved.hidden(err)
	}
	head, left := s.commitRest(ctx, &saved, message)
	if left != nil {
		saved = saved.lost(left)
	}
	ahead, err := s.anyUnknown(ctx, []string{head}, s.clone.origin)
	if err != nil {
		return saved.hidden(errors.Join(err, left))
	}
	if ahead {
		saved.Worked = true
		err = s.pushHead(ctx, w, head, beforePush)
		saved.Commit.Commit, saved.Commit.Pushed = head, err == nil
	}
	if err != nil {
		return saved.lost(errors.Join(err, left))
	}
	return s.lookForRest(ctx, saved, head)
}

// checkHead makes sure that what is checked out can be pushed: it exists, and nothing of the origin's history is missing.
func (s *store) checkHead(ctx context.Context) error {
	head := s.refs.head
	if head == "" && s.clone.Base == "" {
		return nil
	}
	if err := s.checkCommit(ctx, head); err != nil {
		return err
	}
	descends, err := s.isAncestor(ctx, s.clone.Base, head)
	if err == nil && !descends {
		return errNotDescending
	}
	return err
}

// checkCommit makes sure that a commit that is checked out exists.
func (s *store) checkCommit(ctx context.Context, commit string) error {
	there, err := s.isCommit(ctx, commit)
	if err == nil && !there {
		return fmt.Errorf("%w: the commit that is checked out is missing", errDamaged)
	}
	return err
}

// commitRest commits what is not committed yet. The error says what could not be; head is what there is to push anyway.
func (s *store) commitRest(ctx context.Context, saved *Saved, message string) (head string, err error) {
	work, err := s.stage(ctx)
	if err != nil {
		*saved = saved.hidden(err)
		return s.refs.head, err
	}
	head = s.refs.head
	saved.Worked = saved.Worked || work.changed
	if work.changed {
		if head, err = s.commit(ctx, work.tree, message); err != nil {
			return s.refs.head, err
		}
		if err := s.moveHead(ctx, head); err != nil {
			return head, fmt.Errorf("its branch cannot be moved: %w", err)
		}
	}
	if len(work.nested) > 0 {
		saved.Worked = true
		return head, fmt.Errorf("the repositories inside it cannot be committed: %s; remove their .git directories or add them to .gitignore", shortList(work.nested))
	}
	return head, nil
}

// pushHead pushes one commit to one branch, without force.
func (s *store) pushHead(ctx context.Context, w *Workspace, head string, beforePush func()) error {
	places, err := s.leaks(ctx, w.Redactor, head)
	if err != nil {
		return fmt.Errorf("it cannot be checked for keys: %w", err)
	}
	if len(places) > 0 {
		return fmt.Errorf("nothing was pushed, because a key that was given to the agent is in %s; replace the key with its provider, and run again without it", shortList(places))
	}
	beforePush()
	out, err := s.run(ctx, "push", "--porcelain", "--no-verify", "--no-follow-tags", "--", s.clone.URL, head+":refs/heads/"+s.clone.PushBranch)
	if err != nil {
		return pushProblem(out, err)
	}
	return nil
}

// lookForRest finds commits that are neither on the origin nor in what was pushed: on other branches, or stashed.
func (s *store) lookForRest(ctx context.Context, saved Saved, head string) Saved {
	known := s.clone.origin
	if head != "" {
		known = append([]string{head}, known...)
	}
	rest, err := s.anyUnknown(ctx, s.allCommits(), known)
	saved.Unsaved = saved.Unsaved || rest || err != nil
	return saved
}

// shortList names at most three.
func shortList(names []string) string {
	const few = 3
	if len(names) > few {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
	}
	return strings.Join(names, ", ")
}
