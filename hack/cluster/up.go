//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/sandkeep/sandkeep/hack/cluster/internal/layout"
	"github.com/sandkeep/sandkeep/hack/cluster/internal/node"
)

const existingNotice = "CLUSTER=existing: using the cluster of the current kubeconfig"

// up starts the cluster unless it is up.
func (l *launcher) up(ctx context.Context) error {
	if l.existing {
		l.progress.printf("%s; nothing to start\n", existingNotice)
		return nil
	}
	egress, err := l.wantedEgress()
	if err != nil {
		return err
	}
	unlock, err := l.begin()
	if err != nil {
		return err
	}
	defer unlock()
	record, alive, err := l.running()
	if err != nil {
		return err
	}
	if alive {
		return l.alreadyUp(ctx, record, egress)
	}
	return l.start(ctx, egress)
}

// alreadyUp opens or closes the way out, and finishes what an interrupted start left undone, if anything.
func (l *launcher) alreadyUp(ctx context.Context, record layout.Record, egress *layout.Egress) error {
	const remedy = "Start over with: go run ./hack/cluster down && go run ./hack/cluster up"
	if err := errors.Join(l.unwell(), l.kubectl(ctx, "get", "--raw=/readyz", "--request-timeout=5s")); err != nil {
		return fmt.Errorf("%w\n%s", err, remedy)
	}
	record, err := l.changeEgress(ctx, record, egress)
	if err != nil {
		return err
	}
	if !record.Complete {
		if err := l.furnish(ctx); err != nil {
			return fmt.Errorf("%w\n%s", err, remedy)
		}
	}
	l.progress.printf("The cluster is up at %s; export KUBECONFIG=%s\n", record.Network.Server(), l.dir.Kubeconfig())
	return nil
}

// start makes a cluster from nothing but what earlier ones left: programs and images.
func (l *launcher) start(ctx context.Context, egress *layout.Egress) error {
	began := time.Now()
	if err := l.prepare(ctx); err != nil {
		return err
	}
	if err := l.startNode(ctx, egress); err != nil {
		return errors.Join(err, l.end(ctx))
	}
	if err := l.furnish(ctx); err != nil {
		return fmt.Errorf("%w\nThe node runs; look at it with: go run ./hack/cluster status", err)
	}
	l.progress.printf("The cluster is up after %s: Kubernetes %s\n  export KUBECONFIG=%s\n",
		seconds(began), layout.KubernetesVersion, l.dir.Kubeconfig())
	return nil
}

// prepare makes sure that everything is there that the node is made of.
func (l *launcher) prepare(ctx context.Context) error {
	if err := l.checkDisk(); err != nil {
		return err
	}
	if missing := missingPackages(requirements, isPresent); len(missing) > 0 {
		err := l.progress.step("Installing Debian packages: "+strings.Join(missing, ", "), func() error {
			return install(ctx, missing)
		})
		if err != nil {
			return err
		}
	}
	if err := l.buildOnce(ctx); err != nil {
		return err
	}
	return l.copySelf()
}

func (l *launcher) checkDisk() error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(string(l.dir), &fs); err != nil {
		return fmt.Errorf("look at the disk of %s: %w", l.dir, err)
	}
	return tooFull(string(l.dir), fs.Bavail*uint64(fs.Bsize))
}

// startNode clears what an earlier node left, makes the namespaces and waits for the components.
func (l *launcher) startNode(ctx context.Context, egress *layout.Egress) error {
	if err := l.end(ctx); err != nil {
		return err
	}
	if err := recall(ctx, egress, nil); err != nil {
		return err
	}
	used, err := node.InUse()
	if err != nil {
		return err
	}
	network, err := layout.ChooseNetwork(string(l.dir), used)
	if err != nil {
		return fmt.Errorf("%w: end a cluster of another checkout with its own \"down\"", err)
	}
	for _, sub := range []string{l.dir.Logs(), l.dir.State("etcd"), l.dir.Containerd()} {
		if err := os.MkdirAll(sub, 0o700); err != nil {
			return err
		}
	}
	if err := node.Configure(l.dir, network, egress, time.Now()); err != nil {
		return err
	}
	return l.launch(ctx, layout.Record{Network: network, Egress: egress})
}
