package environment

import (
	"errors"
	"fmt"
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
	for i, file := range files {
		target := stored(private, i)
		if err := WritePrivate(target, file.Content); err != nil {
			return err
		}
		if err := link(root, target, file.Path); err != nil {
			return fmt.Errorf("the file %s cannot be put into the agent's home: %w", file.Path, err)
		}
	}
	return nil
}

// ReplaceFiles writes those of the files anew that WriteFiles wrote and whose content has changed. In the home nothing is touched: what an agent put
// in a link's place stays.
func ReplaceFiles(before, after []contract.FileSpec, private string) error {
	for i, file := range after {
		if file == before[i] {
			continue
		}
		if err := WritePrivate(stored(private, i), file.Content); err != nil {
			return fmt.Errorf("the file %s cannot be written anew: %w", file.Path, err)
		}
	}
	return nil
}

// stored is where the content of the n-th file is.
func stored(private string, n int) string { return filepath.Join(private, "files", strconv.Itoa(n)) }

// WritePrivate replaces a file by one that only its owner can read. Whoever reads it meanwhile finds all of the old content or all of the new.
func WritePrivate(path, content string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	next, err := os.CreateTemp(dir, ".next-") // with mode 0600
	if err != nil {
		return err
	}
	_, err = next.WriteString(content)
	if err = errors.Join(err, next.Close()); err == nil {
		err = os.Rename(next.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(next.Name()))
	}
	return nil
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
