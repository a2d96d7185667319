// Command images builds Sandkeep's container images without Docker and without a registry, loads them into the local
// cluster and pushes them to a registry.
//
// Every image is a few layers, each a tar in .cache/images/layers whose name holds a hash of its inputs, so that only
// what changed is built again. Delete .cache/images to take newer Debian packages.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const usage = `usage: go run ./hack/images <command> [name...]

  build [name...]   build images into .cache/images (default: sandkeep, opencode, fixture)
  load [name...]    build, then import into the local cluster what it does not hold yet
  push [name...]    build, then push to REGISTRY (default: sandkeep, opencode)
  ref <name>        print the reference of the last build
  licenses <folder> write the licences of all that the sandkeep image is compiled from

Names: sandkeep, opencode, fixture, claude-code (for tests only: proprietary, never pushed).
Environment: REGISTRY (default ghcr.io/sandkeep), VERSION (a tag such as v0.1.0; default: a tag made from the content).
`

// errUsage asks main for the usage text.
var errUsage = errors.New("unknown command")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case err != nil && interrupted:
		fmt.Fprintln(os.Stderr, "images: interrupted; what is finished is kept")
		os.Exit(130)
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

// run executes one command line.
func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	s, err := settingsFrom(os.Getenv)
	if err != nil {
		return err
	}
	b := &builder{settings: s, progress: progress{out: os.Stderr, every: 15 * time.Second}}
	names := args[1:]
	switch args[0] {
	case "build":
		return b.build(ctx, names)
	case "load":
		return b.load(ctx, names)
	case "push":
		return b.push(ctx, names)
	case "ref":
		return b.printReference(os.Stdout, names)
	case "licenses":
		return b.writeLicenses(ctx, names)
	}
	return errUsage
}
