package main

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sandkeep/sandkeep/hack/internal/compile"
)

const certificatesPath = "etc/ssl/certs/ca-certificates.crt"

// onPeoplesMachines are the programs of cmd/ that do not run in a cluster.
var onPeoplesMachines = []string{"kubectl-sandkeep"}

// operatorRecipe makes the layer of the programs of cmd/ that run in a cluster, at the top of the image.
func operatorRecipe(ctx context.Context, b *builder) (recipe, error) {
	packages, err := clusterPrograms(filepath.Join(b.root, "cmd"))
	if err != nil {
		return recipe{}, err
	}
	return b.compiled(ctx, "sandkeep", packages, "/")
}

// programRecipe makes the layer of one program in a folder of the image.
func programRecipe(name, pkg, folder string) func(context.Context, *builder) (recipe, error) {
	return func(ctx context.Context, b *builder) (recipe, error) {
		return b.compiled(ctx, name, []string{pkg}, folder)
	}
}

// clusterPrograms lists the packages under cmd/ that belong in the Sandkeep image.
func clusterPrograms(folder string) ([]string, error) {
	mains, err := filepath.Glob(filepath.Join(folder, "*", "main.go"))
	if err != nil {
		return nil, err
	}
	var packages []string
	for _, m := range mains {
		if name := filepath.Base(filepath.Dir(m)); !slices.Contains(onPeoplesMachines, name) {
			packages = append(packages, "./cmd/"+name)
		}
	}
	if len(packages) == 0 {
		return nil, errors.New("cmd/ has no program for the image: each is a cmd/<name>/main.go")
	}
	return packages, nil
}

// compiled builds programs and returns the recipe that puts them into a folder of the image. The go command finds out
// what changed; the key is the content of what it made.
func (b *builder) compiled(ctx context.Context, name string, packages []string, folder string) (recipe, error) {
	out := b.cache("bin", name)
	if err := os.MkdirAll(out, 0o755); err != nil {
		return recipe{}, err
	}
	err := b.progress.step(ctx, "compile "+strings.Join(packages, " "), func(ctx context.Context) error {
		return b.compile(ctx, out, packages)
	})
	if err != nil {
		return recipe{}, err
	}
	var files []file
	inputs := []string{folder}
	for _, p := range packages {
		program := filepath.Join(out, filepath.Base(p))
		digest, err := digestOf(program)
		if err != nil {
			return recipe{}, err
		}
		files = append(files, file{path: folder + filepath.Base(p), mode: 0o755, open: fromDisk(program)})
		inputs = append(inputs, p, digest)
	}
	return recipe{
		name:  name,
		work:  "pack the programs of " + name,
		key:   filesKey(inputs...),
		write: func(_ context.Context, w io.Writer) error { return writeFiles(w, files) },
	}, nil
}

// compile makes static, stripped programs. They do not hold the commit, which would make every commit a new image.
func (b *builder) compile(ctx context.Context, out string, packages []string) error {
	args := slices.Concat([]string{"build"}, compile.Flags, []string{
		"-ldflags", "-s -w -X main.version=" + b.programVersion(),
		"-o", out + string(filepath.Separator),
	}, packages)
	_, err := output(b.goCommand(ctx, args...))
	return err
}

// goCommand is the go command in the checkout, for the platform of the images.
func (b *builder) goCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := command(ctx, "go", args...)
	cmd.Dir = b.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+platformOS, "GOARCH="+platformArch)
	return cmd
}

func digestOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// trustRecipe makes what a static program needs of a system: the public certificate authorities, as Debian ships them
// (not those of this machine, which may trust more), and its user.
func trustRecipe(ctx context.Context, b *builder) (recipe, error) {
	base, err := debianRecipe(ctx, b)
	if err != nil {
		return recipe{}, err
	}
	debian, err := b.layer(ctx, base)
	if err != nil {
		return recipe{}, err
	}
	users, groups := operatorUsers()
	return recipe{
		name: "trust",
		work: "pack the certificate authorities that Debian trusts",
		key:  filesKey(debian.diffID.String(), users, groups),
		write: func(_ context.Context, w io.Writer) error {
			certificates, err := readFromLayer(debian, certificatesPath)
			if err != nil {
				return err
			}
			return writeFiles(w, []file{
				{path: "/" + certificatesPath, mode: 0o644, open: fromText(certificates)},
				{path: "/etc/passwd", mode: 0o644, open: fromText(users)},
				{path: "/etc/group", mode: 0o644, open: fromText(groups)},
			})
		},
	}, nil
}

// operatorUsers returns the passwd and group files of the Sandkeep image.
func operatorUsers() (users, groups string) {
	users = fmt.Sprintf("root:x:0:0:root:/:/sbin/nologin\n%[1]s:x:%[2]d:%[2]d::/:/sbin/nologin\n", operatorName, operatorID)
	groups = fmt.Sprintf("root:x:0:\n%s:x:%d:\n", operatorName, operatorID)
	return users, groups
}

// readFromLayer returns one file of a layer.
func readFromLayer(l cachedLayer, name string) (string, error) {
	content, err := l.Uncompressed()
	if err != nil {
		return "", err
	}
	defer func() { _ = content.Close() }()
	entries := tar.NewReader(content)
	for {
		h, err := entries.Next()
		if err != nil {
			return "", fmt.Errorf("find %s in %s: %w", name, filepath.Base(l.path), err)
		}
		if h.Name == name {
			text, err := io.ReadAll(entries)
			return string(text), err
		}
	}
}
