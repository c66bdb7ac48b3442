package lookup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/symbolon/symbolon/internal/disk"
)

// A blobWriter writes a file under a temporary name, hashes its pieces on the
// way, and gives it its name when it is whole and durable.
type blobWriter struct {
	path   string
	file   *os.File
	buf    *bufio.Writer
	size   int64
	piece  hash.Hash
	hashes []byte
}

// tempSuffix ends the names of files that are not whole. They may be removed
// whenever nobody writes.
const tempSuffix = ".tmp"

func createBlob(path string) (*blobWriter, error) {
	f, err := os.OpenFile(path+tempSuffix, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &blobWriter{path: path, file: f, buf: bufio.NewWriterSize(f, 1<<20), piece: sha256.New()}, nil
}

func (w *blobWriter) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		n := min(len(rest), ChunkSize-int(w.size%ChunkSize))
		w.piece.Write(rest[:n])
		w.size += int64(n)
		rest = rest[n:]
		if w.size%ChunkSize == 0 {
			w.endPiece()
		}
	}
	return w.buf.Write(b)
}

func (w *blobWriter) endPiece() {
	w.hashes = w.piece.Sum(w.hashes)
	w.piece.Reset()
}

// finish makes the file durable under its name and describes it.
func (w *blobWriter) finish() (Blob, error) {
	if w.size%ChunkSize != 0 {
		w.endPiece()
	}
	err := w.buf.Flush()
	if err == nil {
		err = w.file.Sync()
	}
	if e := w.file.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(w.path+tempSuffix, w.path)
	}
	if err != nil {
		return Blob{}, err
	}
	return Blob{w.size, base64.StdEncoding.EncodeToString(w.hashes)}, disk.SyncDir(filepath.Dir(w.path))
}

// discard removes what is there of an unfinished file. It does nothing after
// finish.
func (w *blobWriter) discard() {
	if w.file.Close() == nil {
		os.Remove(w.path + tempSuffix)
	}
}

// writeBlob writes a file at once and durably.
func writeBlob(path string, fill func(w io.Writer) error) (Blob, error) {
	w, err := createBlob(path)
	if err != nil {
		return Blob{}, err
	}
	defer w.discard()
	if err := fill(w); err != nil {
		return Blob{}, err
	}
	return w.finish()
}

// verifyBlob reports how many pieces from the first on a file holds as the blob
// describes them.
func verifyBlob(ctx context.Context, f io.Reader, b *Blob) (int, error) {
	buf := make([]byte, min(ChunkSize, b.Bytes))
	hashes := b.decoded()
	for i := range b.chunks() {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		piece := buf[:b.chunkLen(i)]
		if _, err := io.ReadFull(f, piece); err == io.EOF || err == io.ErrUnexpectedEOF {
			return i, nil
		} else if err != nil {
			return 0, err
		}
		if sha256.Sum256(piece) != [32]byte(hashes[32*i:]) {
			return i, nil
		}
	}
	return b.chunks(), nil
}

// Destroy overwrites a file, removes it, and makes both durable. A file that is
// not there is no error. Disks and file systems that write elsewhere than they
// are told may keep what was there before: what is destroyed so should have
// been sealed.
func Destroy(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = overwrite(f)
	if e := f.Close(); err == nil {
		err = e
	}
	if e := os.Remove(path); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("lookup: destroying %s: %w", filepath.Base(path), err)
	}
	return disk.SyncDir(filepath.Dir(path))
}

func overwrite(f *os.File) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	zeros := make([]byte, min(fi.Size(), 1<<20))
	for at := int64(0); at < fi.Size(); {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), fi.Size()-at)], at)
		if err != nil {
			return err
		}
		at += int64(n)
	}
	return f.Sync()
}

// DestroyAll destroys the files of a directory and removes it.
func DestroyAll(dir string) error {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := Destroy(filepath.Join(dir, f.Name())); err != nil {
			return err
		}
	}
	if err := os.Remove(dir); err != nil {
		return err
	}
	return disk.SyncDir(filepath.Dir(dir))
}
