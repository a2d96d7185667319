package process

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// LookPath finds a program as a shell in dir with the given PATH would; os/exec looks in the PATH of this process. Folders
// of a PATH that are relative are passed over.
func LookPath(name, dir, path string) (string, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return name, executable(name)
	}
	for _, folder := range filepath.SplitList(path) {
		candidate := filepath.Join(folder, name)
		if filepath.IsAbs(folder) && executable(candidate) == nil {
			return candidate, nil
		}
	}
	return "", fs.ErrNotExist
}

func executable(path string) error {
	stat, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case stat.IsDir() || stat.Mode()&0o111 == 0:
		return fs.ErrPermission
	default:
		return nil
	}
}
