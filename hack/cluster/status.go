//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"text/tabwriter"

	"github.com/sandkeep/sandkeep/hack/cluster/internal/layout"
)

var errNotUp = errors.New("the cluster is not up: start it with \"go run ./hack/cluster up\"")

// status shows every component and the node, and fails unless all is well.
func (l *launcher) status(ctx context.Context) error {
	if l.existing {
		l.progress.printf("%s\n", existingNotice)
		return l.nodes(ctx, "kubectl")
	}
	record, alive, err := l.running()
	if err != nil {
		return err
	}
	if !alive {
		return errNotUp
	}
	if err := l.table(record); err != nil {
		return err
	}
	egress, err := describeEgress(ctx, record)
	if err == nil {
		l.progress.printf("%s\n", egress)
	}
	if err := errors.Join(err, l.unwell()); err != nil {
		return err
	}
	return l.nodes(ctx, l.dir.Bin("kubectl"), "--kubeconfig="+l.dir.Kubeconfig())
}

// nodes shows the nodes and fails unless all are ready.
func (l *launcher) nodes(ctx context.Context, kubectl ...string) error {
	call := func(args ...string) *exec.Cmd {
		return exec.CommandContext(ctx, kubectl[0], slices.Concat(kubectl[1:], []string{"--request-timeout=5s"}, args)...)
	}
	get := call("get", "nodes")
	get.Stdout, get.Stderr = l.out, os.Stderr
	if err := get.Run(); err != nil {
		return fmt.Errorf("ask the API server: %w", err)
	}
	return runQuietly(call("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=1s"))
}

func (l *launcher) table(record layout.Record) error {
	components, err := l.dir.Components()
	if err != nil {
		return err
	}
	n := record.Network
	l.progress.printf("API server %s, pods %s, Services %s, process %d\n", n.Server(), n.Pods(), n.Services(), record.Process.PID)
	w := tabwriter.NewWriter(l.out, 0, 0, 2, ' ', 0)
	for _, c := range components {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", c.Name, describe(c), l.dir.Log(c.Name)) // Flush returns the error
	}
	return w.Flush()
}

func describe(c layout.Component) string {
	switch {
	case c.Exit != "":
		return "ended: " + c.Exit
	case c.Ready:
		return "running"
	}
	return "starting"
}

// unwell names the first component that does not run, with the end of its log.
func (l *launcher) unwell() error {
	components, err := l.dir.Components()
	if err != nil {
		return err
	}
	if len(components) == 0 {
		return l.withLog("init", errors.New("the node runs and has no components"))
	}
	for _, c := range components {
		if c.Exit != "" || !c.Ready {
			return l.withLog(c.Name, fmt.Errorf("%s is not well: %s", c.Name, describe(c)))
		}
	}
	return nil
}

// env prints what a shell needs to use the cluster: eval "$(go run ./hack/cluster env)".
func (l *launcher) env() error {
	if l.existing {
		l.progress.printf("# %s\n", existingNotice)
		return nil
	}
	l.progress.printf("export KUBECONFIG=%q\nexport PATH=%q:\"$PATH\"\nexport KUBEBUILDER_ASSETS=%q\n",
		l.dir.Kubeconfig(), l.dir.Bin(""), l.dir.Bin(""))
	return nil
}
