package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

const defaultRegistry = "ghcr.io/sandkeep"

// settings are the places and names that one invocation works with.
type settings struct {
	root     string // top of the checkout
	registry string // prefix of every reference
	version  string // tag of every reference; empty: the tag is made from the content
	cluster  string // folder of the local cluster; empty: the cluster is somebody else's
}

// settingsFrom reads the environment through getenv and the working directory, which must be the top of the checkout.
func settingsFrom(getenv func(string) string) (settings, error) {
	if runtime.GOOS != platformOS || runtime.GOARCH != platformArch {
		return settings{}, fmt.Errorf("images are built for and on %s/%s only, this is %s/%s; use the Dockerfile with --platform=%s/%s",
			platformOS, platformArch, runtime.GOOS, runtime.GOARCH, platformOS, platformArch)
	}
	root, err := os.Getwd()
	if err != nil {
		return settings{}, fmt.Errorf("find the working directory: %w", err)
	}
	if _, err := os.Stat(filepath.Join(root, "hack", "images")); err != nil {
		return settings{}, errors.New("run this from the top of the checkout: go run ./hack/images")
	}
	s := settings{
		root:     root,
		registry: strings.TrimSuffix(getenv("REGISTRY"), "/"),
		version:  getenv("VERSION"),
		cluster:  getenv("CLUSTER_DIR"),
	}
	if s.cluster == "" {
		s.cluster = filepath.Join(root, ".cluster")
	}
	if getenv("CLUSTER") == "existing" {
		s.cluster = ""
	}
	if s.registry == "" {
		s.registry = defaultRegistry
	}
	return s, s.validate()
}

// validate refuses a registry or version that cannot be part of a reference.
func (s settings) validate() error {
	tag := s.version
	if tag == "" {
		tag = "dev"
	}
	if strings.Contains(s.registry, "//") {
		return fmt.Errorf("REGISTRY or VERSION cannot be part of an image reference: REGISTRY is %q, leave out the https://", s.registry)
	}
	if _, err := name.NewTag(s.registry+"/sandkeep:"+tag, name.StrictValidation); err != nil {
		return fmt.Errorf("REGISTRY or VERSION cannot be part of an image reference: %w", err)
	}
	return nil
}

// reference is the full name of an image with that content. Without a version the tag holds 48 bits of the config
// digest, so a changed image always has a new reference and a reference never changes its meaning.
func (s settings) reference(image, digest string) string {
	tag := s.version
	if tag == "" {
		tag = "dev-" + strings.TrimPrefix(digest, "sha256:")[:12]
	}
	return s.registry + "/" + image + ":" + tag
}

// programVersion is what the programs answer when asked for their version.
func (s settings) programVersion() string {
	if s.version == "" {
		return "dev"
	}
	return s.version
}

// cache joins a path under the images' cache.
func (s settings) cache(elem ...string) string {
	return filepath.Join(append([]string{s.root, ".cache", "images"}, elem...)...)
}
