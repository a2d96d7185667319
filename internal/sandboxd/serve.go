package sandboxd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandkeep/sandkeep/internal/sandboxd/process"
)

// Serve is Run for a process that is sandboxd and nothing else: it listens to SIGTERM, looks after orphans, and keeps its
// memory to itself.
func Serve(dirs Dirs, environ []string, stdout io.Writer, now func() time.Time) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	tree := process.NewTree()
	if err := errors.Join(hide(), tree.AdoptOrphans(context.WithoutCancel(ctx))); err != nil {
		// Neither is worth a session: without them a run is only less tidy.
		_, _ = fmt.Fprintln(stdout, "[sandkeep] The sandbox lacks a protection:", err)
	}
	sandbox := &Sandbox{Dirs: dirs, Environ: environ, Stdout: stdout, Now: now, Tree: tree}
	return sandbox.Run(ctx)
}

// hide keeps the agent, which has the same uid, from reading this process's memory and environment, and from tracing it.
func hide() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
