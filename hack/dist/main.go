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

  render     write dist/install.yaml, which installs everything with one kubectl apply (default)
  preflight  say what the cluster lacks
  install    preflight, then build, push to REGISTRY, apply and wait

Environment: REGISTRY and VERSION, of which image references are made; CLUSTER=existing for the cluster of the current
kubeconfig, else the local one.
`

// errUsage asks main for the usage text.
var errUsage = errors.New("unknown command")

// file is what render writes, below the top of the checkout.
const file = "dist/install.yaml"

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
		return render(ctx, source, p)
	case "preflight":
		return preflight(ctx, source, p)
	case "install":
		return installAll(ctx, source, p)
	}
	return errUsage
}

// render writes the file. References follow from REGISTRY and VERSION alone where both are given; otherwise the images are built.
func render(ctx context.Context, source install.Source, p *install.Progress) error {
	var images install.Images
	err := p.Step("Find the references of the images", func(detail io.Writer) (err error) {
		images, err = source.References(ctx, detail, install.Shipped...)
		return err
	})
	if err != nil {
		return err
	}
	return p.Step("Render "+file, func(detail io.Writer) error {
		objects, err := source.Render(ctx, images)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(detail, "%d objects, with images %s and %s\n", len(objects), images["sandkeep"], images["opencode"])
		_, _ = fmt.Fprintf(detail, "Install with: kubectl apply --server-side -f %s\n", file)
		_, _ = fmt.Fprintln(detail, "On a new cluster run it twice: kubectl asks for all Kinds before it applies the first definition")
		return install.WriteFile(filepath.Join(source.Root, file), objects)
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
