package workspace

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/process"
	"github.com/sandkeep/sandkeep/internal/sandboxd/redact"
)

// Workspace is the directory in which an agent works, with its clones.
type Workspace struct {
	// Dir is the workspace, Tmp a directory outside it for what git needs of ours.
	Dir, Tmp string
	// Keep is true where clones of an earlier run may be found, and Run counts the runs from 1.
	Keep bool
	Run  int32
	// Timeout bounds the clone of one repository, and every other git command.
	Timeout time.Duration
	// Path is the image's PATH, in which git is looked for.
	Path string
	// Environ is the environment of the container, then that of the class and the session.
	Environ []string
	// Redactor knows what must not be pushed.
	Redactor *redact.Redactor
	Tree     *process.Tree

	scratch string
}

// Clone is one repository in the workspace.
type Clone struct {
	contract.Repository
	// Dir is where it is.
	Dir string
	// Base is the commit at which the agent started; empty in a repository without commits.
	Base string
	// Kept is true for a clone of an earlier run.
	Kept bool
	// origin are the commits that the origin has on its refs, as far as they were told when the run started.
	origin []string
}

// defaultTimeout bounds git where Timeout does not.
const defaultTimeout = 10 * time.Minute

// git runs without a repository.
func (w *Workspace) git() git {
	return git{tree: w.Tree, dir: w.Dir, path: w.Path, env: gitEnv(w.Path, w.Environ, filepath.Join(w.scratch, "home")), timeout: w.timeout()}
}

func (w *Workspace) timeout() time.Duration {
	if w.Timeout > 0 {
		return w.Timeout
	}
	return defaultTimeout
}

// Prepare makes the directories that git needs. It is called before the clones, and again when the agent has ended: what
// the agent could reach is not used any more, because curl, for one, reads a .netrc in git's home.
func (w *Workspace) Prepare() error {
	if err := os.MkdirAll(w.Dir, 0o755); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(w.Tmp, "sandkeep-")
	if err != nil {
		return err
	}
	w.scratch = scratch
	return os.Mkdir(filepath.Join(scratch, "home"), 0o700)
}

// CleanUp removes what Prepare made.
func (w *Workspace) CleanUp() {
	if w.scratch != "" {
		_ = os.RemoveAll(w.scratch)
	}
}

// Clone brings one repository into the workspace, or finds it there. The error is a *CloneError.
func (w *Workspace) Clone(ctx context.Context, r contract.Repository) (*Clone, error) {
	c, err := w.clone(ctx, r)
	if err != nil {
		return nil, &CloneError{url: r.URL, ref: r.Ref, err: err}
	}
	return c, nil
}

func (w *Workspace) clone(ctx context.Context, r contract.Repository) (*Clone, error) {
	if err := checkURL(r.URL); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(w.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	taken, err := isTaken(root, r.Path)
	if err != nil {
		return nil, err
	}
	c := &Clone{Repository: r, Dir: filepath.Join(w.Dir, r.Path), Kept: taken}
	if taken {
		return c, w.keep(ctx, root, c)
	}
	return c, w.fresh(ctx, root, c)
}
