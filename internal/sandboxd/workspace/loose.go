package workspace

import (
	"context"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
)

// maxFolders bounds the search for loose files: an agent can leave a maze.
const maxFolders = 10_000

// Loose is the path of a file in the workspace that is in none of the clones, so that nothing brings it home; empty when there is
// none. Empty folders are none. What cannot be looked at counts as one, since nobody can say then that nothing is lost.
func (w *Workspace) Loose(ctx context.Context, clones []*Clone) string {
	root, err := os.OpenRoot(w.Dir)
	if err != nil {
		return "."
	}
	defer func() { _ = root.Close() }()
	cloned := map[string]bool{}
	for _, c := range clones {
		cloned[path.Clean(filepath.ToSlash(c.Path))] = true
	}
	folders := []string{"."}
	for i := 0; i < len(folders); i++ {
		if ctx.Err() != nil || len(folders) > maxFolders {
			return folders[i]
		}
		file, inside := lookInto(root, folders[i], cloned)
		if file != "" {
			return file
		}
		folders = append(folders, inside...)
	}
	return ""
}

// lookInto finds a file in a folder, and else the folders in it that are no clones.
func lookInto(root *os.Root, folder string, cloned map[string]bool) (file string, folders []string) {
	dir, err := root.Open(folder)
	if err != nil {
		return folder, nil
	}
	defer func() { _ = dir.Close() }()
	const atOnce = 256
	for len(folders) <= maxFolders {
		entries, err := dir.ReadDir(atOnce)
		for _, entry := range entries {
			name := path.Join(folder, entry.Name())
			switch {
			case !entry.IsDir():
				return name, nil
			case !cloned[name]:
				folders = append(folders, name)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return folder, nil
		}
	}
	return "", folders
}
