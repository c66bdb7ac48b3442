package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// writeNew writes a file that does not exist yet, mode 0600, whole or not at
// all.
func writeNew(path string, data []byte) error { return writeFile(path, data, false) }

// writeFile writes data as createFile does.
func writeFile(path string, data []byte, force bool) error {
	return createFile(path, force, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// createFile makes a file of what write writes, mode 0600, whole or not at all:
// a temporary file in the same directory takes the name at the end. An existing
// file is replaced only if force is set.
func createFile(path string, force bool, write func(io.Writer) error) (err error) {
	if err := checkNew(path, force); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".symbolon-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	b := bufio.NewWriter(f)
	if err = write(b); err == nil {
		err = b.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if force {
		return os.Rename(f.Name(), path)
	}
	// A link fails where a rename would replace what came in between.
	if err := os.Link(f.Name(), path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return errExists(path)
		}
		if err := checkNew(path, false); err != nil { // file systems without links
			return err
		}
		return os.Rename(f.Name(), path)
	}
	return nil
}

// checkNew refuses a path that exists, unless force is set, or whose directory
// does not.
func checkNew(path string, force bool) error {
	if st, err := os.Stat(filepath.Dir(path)); err != nil {
		return &usageError{err}
	} else if !st.IsDir() {
		return usagef("%s is no directory", filepath.Dir(path))
	}
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !force:
		return errExists(path)
	case !st.Mode().IsRegular():
		return usagef("%s is no regular file", path)
	}
	return nil
}

func errExists(path string) error {
	return withHint(&usageError{fmt.Errorf("%s: %w", path, fs.ErrExist)}, "choose another name, or remove the file")
}

// readBounded reads a file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &usageError{err}
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return raw, nil
}
