package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Shipped are the images that config/default refers to.
var Shipped = []string{"sandkeep", "opencode"}

// Source is a checkout of Sandkeep, and where what is built from it goes.
type Source struct {
	// Root is the top of the checkout.
	Root string
	// Registry is the prefix of image references; empty: the project's own.
	Registry string
	// Version is the tag of image references; empty: a tag made from the content of each image.
	Version string
	// Existing says that the cluster is the user's own, which pulls its images from Registry.
	Existing bool
}

// SourceHere is the checkout that the working directory is in, with the settings of the environment.
func SourceHere() (Source, error) {
	dir, err := os.Getwd()
	if err != nil {
		return Source{}, fmt.Errorf("find the working directory: %w", err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "config", "default")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			return Source{}, errors.New("this is not a checkout of Sandkeep: change into one")
		}
	}
	return Source{
		Root: dir, Registry: os.Getenv("REGISTRY"), Version: os.Getenv("VERSION"), Existing: os.Getenv("CLUSTER") == "existing",
	}, nil
}

// Check says what is missing in the settings.
func (s Source) Check() error {
	if s.Existing && s.Registry == "" {
		return errors.New("a cluster of your own pulls its images: set REGISTRY to a registry that you may push to and the cluster can pull from, such as REGISTRY=registry.example.com/team")
	}
	return nil
}

// Images maps names of images to references.
type Images map[string]string

// Provide makes the named images available to the cluster: pushed to the registry for a cluster of the user's own, loaded into
// the local one.
func (s Source) Provide(ctx context.Context, detail io.Writer, names ...string) (Images, error) {
	command := "load"
	if s.Existing {
		command = "push"
	}
	if err := s.Check(); err != nil {
		return nil, err
	}
	return s.made(ctx, detail, command, names)
}

func (s Source) made(ctx context.Context, detail io.Writer, command string, names []string) (Images, error) {
	if err := s.Go(ctx, detail, append([]string{"run", "./hack/images", command}, names...)...); err != nil {
		return nil, err
	}
	images := Images{}
	for _, name := range names {
		var out bytes.Buffer
		if err := s.goTo(ctx, &out, detail, "run", "./hack/images", "ref", name); err != nil {
			return nil, err
		}
		images[name] = strings.TrimSpace(out.String())
	}
	return images, nil
}

// Go runs the go command at the top of the checkout.
func (s Source) Go(ctx context.Context, detail io.Writer, args ...string) error {
	return s.goTo(ctx, detail, detail, args...)
}

func (s Source) goTo(ctx context.Context, stdout, stderr io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.Root, stdout, stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// References are those of the named images. They follow from Registry and Version where both are given; otherwise the tags come from
// the content, and the images are built.
func (s Source) References(ctx context.Context, detail io.Writer, names ...string) (Images, error) {
	if s.Registry == "" || s.Version == "" {
		return s.made(ctx, detail, "build", names)
	}
	images := Images{}
	for _, name := range names {
		images[name] = strings.TrimSuffix(s.Registry, "/") + "/" + name + ":" + s.Version
	}
	return images, nil
}
