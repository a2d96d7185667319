package environment

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/sandkeep/sandkeep/internal/contract"
)

// WriteFiles writes the files into private, which is in memory, and links them from home: an agent finds them where it
// looks, and no key reaches a disk.
func WriteFiles(files []contract.FileSpec, home, private string) error {
	if len(files) == 0 {
		return nil
	}
	root, err := os.OpenRoot(home)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	store := filepath.Join(private, "files")
	if err := os.MkdirAll(store, 0o700); err != nil {
		return err
	}
	for i, file := range files {
		target := filepath.Join(store, strconv.Itoa(i))
		if err := writePrivate(target, file.Content); err != nil {
			return err
		}
		if err := link(root, target, file.Path); err != nil {
			return fmt.Errorf("the file %s cannot be put into the agent's home: %w", file.Path, err)
		}
	}
	return nil
}

func writePrivate(path, content string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o600)
}

// link puts a symbolic link into the home, in the place of whatever an earlier run or the image left there.
func link(root *os.Root, target, path string) error {
	if !filepath.IsLocal(path) || path == "." {
		return errors.New("the path is not below the home")
	}
	if err := root.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := root.RemoveAll(path); err != nil {
		return err
	}
	return root.Symlink(target, path)
}
