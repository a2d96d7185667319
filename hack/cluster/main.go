//go:build linux

// Command cluster runs a whole Kubernetes on one Linux machine, built from Go modules and Debian packages, inside
// namespaces of its own.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/sandkeep/sandkeep/hack/cluster/internal/layout"
	"github.com/sandkeep/sandkeep/hack/cluster/internal/node"
)

const usage = `Usage: go run ./hack/cluster <command>

  up [-egress]      start the cluster, or say that it is up
  down              end it and remove what belongs to it; built programs and images stay
  status            say how every component fares; fails unless all is well
  load <archive>... make the images of docker archives known to the cluster
  env               print shell commands that point kubectl and Go tests at the cluster

EGRESS=1, or -egress, lets pods reach the outside network through this machine. up does so for a cluster that is up, too, and
without it closes the way again. The machine forwards packets for as long as that, and for nobody but the clusters.
CLUSTER=existing makes up and down do nothing, and status look at the cluster of the current kubeconfig.
CLUSTER_DIR is where the cluster lives, by default .cluster at the top of the checkout.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("no command\n\n%s", usage)
	}
	if args[0] == enterArg || args[0] == initArg {
		return beNode(ctx, args)
	}
	l, err := newLauncher(os.Stdout)
	if err != nil {
		return err
	}
	switch args[0] {
	case "up":
		if l.egress, err = parseUp(args[1:], os.Getenv("EGRESS")); err != nil {
			return err
		}
		return l.up(ctx)
	case "down":
		return l.down(ctx)
	case "status":
		return l.status(ctx)
	case "load":
		return l.load(ctx, args[1:])
	case "env":
		return l.env()
	}
	return fmt.Errorf("unknown command %q\n\n%s", args[0], usage)
}

// The node's process 1 is this program, called with one of these, the directory of the cluster and the slot.
const (
	enterArg = "node-enter"
	initArg  = "node-init"
)

func beNode(ctx context.Context, args []string) error {
	slot, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	if args[0] == enterArg {
		return node.Enter([]string{"cluster", initArg, args[1], args[2]})
	}
	return node.Init(ctx, layout.Dir(args[1]), layout.Network{Slot: slot})
}
