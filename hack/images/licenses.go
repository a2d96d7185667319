package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// licensesFolder is where the Sandkeep image holds the licences of all that is compiled into its programs. Most of them ask
// for that, and the image has no packages that would bring them.
const licensesFolder = "/licenses"

// licenseName is what files are called that a licence asks to be handed on.
var licenseName = regexp.MustCompile(`^(?i:licen[cs]e|copying|notice|patents)([._-].*)?$`)

// licensesRecipe makes the layer of the licences.
func licensesRecipe(ctx context.Context, b *builder) (recipe, error) {
	texts, err := b.licenses(ctx)
	if err != nil {
		return recipe{}, err
	}
	var files []file
	inputs := []string{licensesFolder}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		files = append(files, file{path: path.Join(licensesFolder, name), mode: 0o644, open: fromText(texts[name])})
		inputs = append(inputs, name, texts[name])
	}
	return recipe{
		name:  "licenses",
		work:  "pack the licences of what is compiled in",
		key:   filesKey(inputs...),
		write: func(_ context.Context, w io.Writer) error { return writeFiles(w, files) },
	}, nil
}

// writeLicenses writes the licences into a folder of the machine, for the Dockerfile.
func (b *builder) writeLicenses(ctx context.Context, folders []string) error {
	if len(folders) != 1 {
		return errUsage
	}
	texts, err := b.licenses(ctx)
	if err != nil {
		return err
	}
	for name, text := range texts {
		target := filepath.Join(folders[0], filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// licenses maps <module>/<file> to the text for each module of the programs, and for Go's own library under "go". A part of a
// module that somebody else wrote may have a licence beside it, so every folder from a package up to its module is looked at.
func (b *builder) licenses(ctx context.Context) (map[string]string, error) {
	packages, err := clusterPrograms(filepath.Join(b.root, "cmd"))
	if err != nil {
		return nil, err
	}
	const format = "{{with .Module}}{{.Path}}\t{{.Dir}}{{else}}go\t{{.Root}}{{end}}\t{{.Dir}}"
	cmd := b.goCommand(ctx, append([]string{"list", "-deps", "-f", format}, packages...)...)
	list, err := output(cmd)
	if err != nil {
		return nil, err
	}
	texts, licensed := map[string]string{}, map[string]bool{}
	for line := range strings.Lines(list) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		found, err := licensesOf(fields[0], fields[1], fields[2])
		if err != nil {
			return nil, err
		}
		maps.Copy(texts, found)
		licensed[fields[0]] = licensed[fields[0]] || len(found) > 0
	}
	return texts, unlicensed(licensed)
}

// licensesOf reads the licences in the folders from dir, a package, up to root, its module.
func licensesOf(module, root, dir string) (map[string]string, error) {
	texts := map[string]string{}
	for ; len(dir) >= len(root); dir = filepath.Dir(dir) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.IsDir() || !licenseName.MatchString(e.Name()) || path.Ext(e.Name()) == ".go" {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				return nil, err
			}
			texts[path.Join(module, filepath.ToSlash(strings.TrimPrefix(dir, root)), e.Name())] = string(text)
		}
	}
	return texts, nil
}

// unlicensed is an error for each module without a licence: nobody may hand such a program on.
func unlicensed(licensed map[string]bool) error {
	var problems []error
	for _, module := range slices.Sorted(maps.Keys(licensed)) {
		if !licensed[module] {
			problems = append(problems, fmt.Errorf("%s has no licence file: use another module, or for Go itself the Go of go.dev/dl", module))
		}
	}
	return errors.Join(problems...)
}
