package records

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	// The drivers, by name: pgx for PostgreSQL, modernc's SQLite in pure Go.
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

// defaultTable is read where a mapping names neither table nor query.
const defaultTable = "people"

func (r *reader) readSQL(ctx context.Context) error {
	db, err := r.openSQL()
	if err != nil {
		return err
	}
	defer db.Close()
	// One read-only transaction: a query of the mapping can't write, and the
	// rows are one snapshot.
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: r.source.format == formatPostgres})
	if err != nil {
		return sqlError(err)
	}
	defer tx.Rollback()
	query := r.source.mapping.Query
	if query == "" {
		if query, err = r.tableQuery(ctx, tx); err != nil {
			return err
		}
	}
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return sqlError(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return sqlError(err)
	}
	if err := r.bind(columns); err != nil {
		return err
	}
	scan := newSQLRow(len(columns))
	cells := make([]string, len(r.binder.columns))
	for number := int64(1); rows.Next(); number++ {
		if err := rows.Scan(scan.into...); err != nil {
			return sqlError(err)
		}
		if err := scan.read(r.binder.columns); err != nil {
			return fmt.Errorf("row %d: %w", number, err)
		}
		for slot, i := range r.binder.columns {
			cells[slot] = scan.text[i]
		}
		if err := r.row(ctx, row{number: number, cells: cells}); err != nil {
			return err
		}
	}
	return sqlError(rows.Err())
}

func (r *reader) openSQL() (*sql.DB, error) {
	driver, dsn := "pgx", r.source.location
	if r.source.format == formatSQLite {
		// SQLite would make a missing file, so look first.
		if _, err := os.Stat(dsn); err != nil {
			return nil, errors.New("no such file")
		}
		abs, err := filepath.Abs(dsn)
		if err != nil {
			return nil, err
		}
		u := url.URL{Scheme: "file", Path: filepath.ToSlash(abs), RawQuery: "mode=ro&_pragma=query_only(1)&_pragma=busy_timeout(5000)"}
		driver, dsn = "sqlite", u.String()
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, sqlError(err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// tableQuery selects the columns of a table that are bound, no others.
func (r *reader) tableQuery(ctx context.Context, tx *sql.Tx) (string, error) {
	table := r.source.mapping.Table
	if table == "" {
		table = defaultTable
	}
	quoted := make([]string, 0, 2)
	for part := range strings.SplitSeq(table, ".") {
		quoted = append(quoted, quoteIdentifier(part))
	}
	from := strings.Join(quoted, ".")
	rows, err := tx.QueryContext(ctx, "SELECT * FROM "+from+" LIMIT 0")
	if err != nil {
		return "", sqlError(err)
	}
	columns, err := rows.Columns()
	if err2 := rows.Close(); err == nil {
		err = err2
	}
	if err != nil {
		return "", sqlError(err)
	}
	if err := r.bind(columns); err != nil {
		return "", err
	}
	list := make([]string, len(r.binder.names))
	for i, n := range r.binder.names {
		list[i] = quoteIdentifier(n)
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM " + from, nil
}

func quoteIdentifier(s string) string {
	return `"` + strings.ReplaceAll(strings.ReplaceAll(s, "\x00", ""), `"`, `""`) + `"`
}

// sqlError hides what a database's message may quote from a record.
func sqlError(err error) error {
	if err == nil {
		return nil
	}
	if pe := (*pgconn.PgError)(nil); errors.As(err, &pe) && strings.HasPrefix(pe.Code, "22") {
		return fmt.Errorf("database: the query met data it can't convert (SQLSTATE %s)", pe.Code)
	}
	return fmt.Errorf("database: %w", err)
}

// sqlRow receives the columns of a row as text.
type sqlRow struct {
	values []any
	into   []any
	text   []string
}

func newSQLRow(n int) *sqlRow {
	s := &sqlRow{values: make([]any, n), into: make([]any, n), text: make([]string, n)}
	for i := range s.values {
		s.into[i] = &s.values[i]
	}
	return s
}

// read converts the values of the bound columns to text.
func (s *sqlRow) read(columns []int) error {
	for _, i := range columns {
		switch v := s.values[i].(type) {
		case nil:
			s.text[i] = ""
		case string:
			s.text[i] = v
		case []byte:
			s.text[i] = string(v)
		case int64:
			s.text[i] = strconv.FormatInt(v, 10)
		case float64:
			s.text[i] = strconv.FormatFloat(v, 'f', -1, 64)
		case bool:
			s.text[i] = strconv.FormatBool(v)
		case time.Time:
			s.text[i] = v.Format("2006-01-02")
		default:
			return fmt.Errorf("column %d has type %T: cast it to text in the query", i+1, v)
		}
		if len(s.text[i]) > maxRowBytes || !utf8.ValidString(s.text[i]) {
			return fmt.Errorf("column %d: longer than %d bytes or not UTF-8", i+1, maxRowBytes)
		}
	}
	return nil
}
