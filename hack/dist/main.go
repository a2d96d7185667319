// Command dist renders Sandkeep for a cluster, and installs it there.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandkeep/sandkeep/hack/install"
)

const usage = `usage: go run ./hack/dist [command]

  render [folder]  write install.yaml, the Kinds and the programs, and defaults.yaml, the shipped classes and providers
                   (default; the folder is dist)
  preflight        say what the cluster lacks
  install          preflight, then build, push to REGISTRY, apply and wait

Environment: REGISTRY and VERSION, of which image references are made; CLUSTER=existing for the cluster of the current
kubeconfig, else the local one.
`

// errUsage asks main for the usage text.
var errUsage = errors.New("unknown command")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	source, err := install.SourceHere()
	if err != nil {
		return err
	}
	p := &install.Progress{Out: os.Stdout}
	command := "render"
	if len(args) > 0 {
		command = args[0]
	}
	switch command {
	case "render":
		folder := filepath.Join(source.Root, "dist")
		if len(args) > 1 {
			folder = args[1]
		}
		return render(ctx, source, p, folder)
	case "preflight":
		return preflight(ctx, source, p)
	case "install":
		return installAll(ctx, source, p)
	}
	return errUsage
}

// render writes the files. References follow from REGISTRY and VERSION alone where both are given; otherwise the images are built.
func render(ctx context.Context, source install.Source, p *install.Progress, folder string) error {
	var images install.Images
	err := p.Step("Find the references of the images", func(detail io.Writer) (err error) {
		images, err = source.References(ctx, detail, install.Shipped...)
		return err
	})
	if err != nil {
		return err
	}
	return p.Step("Render "+folder, func(detail io.Writer) error {
		manifests, err := source.Render(images)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(detail, "%d objects, with images %s and %s\n", len(manifests.All()), images["sandkeep"], images["opencode"])
		_, _ = fmt.Fprintf(detail, "%s holds the Kinds and the programs; %s the shipped classes and providers, once the API server knows the Kinds\n",
			install.ProgramsFile, install.DefaultsFile)
		_, _ = fmt.Fprintln(detail, "docs/quick-start.md has the commands that apply them")
		return manifests.Write(folder)
	})
}

// preflight says what the cluster lacks, and fails when that makes an installation pointless.
func preflight(ctx context.Context, source install.Source, p *install.Progress) error {
	config, err := source.Config()
	if err != nil {
		return err
	}
	return p.Step("Look at the cluster "+config.Host, func(detail io.Writer) error {
		return install.Preflight(ctx, config, detail)
	})
}

func installAll(ctx context.Context, source install.Source, p *install.Progress) error {
	if err := source.Check(); err != nil {
		return err
	}
	if err := preflight(ctx, source, p); err != nil {
		return err
	}
	var images install.Images
	err := p.Step("Build the images and give them to the cluster", func(detail io.Writer) (err error) {
		images, err = source.Provide(ctx, detail, install.Shipped...)
		return err
	})
	if err != nil {
		return err
	}
	config, err := source.Config()
	if err != nil {
		return err
	}
	return p.Step("Install Sandkeep", func(detail io.Writer) error { return apply(ctx, source, config, detail, images) })
}

func apply(ctx context.Context, source install.Source, config *rest.Config, detail io.Writer, images install.Images) error {
	c, err := client.New(config, client.Options{})
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	return source.Install(ctx, c, detail, images)
}
