// fencelock's static library in one program with what it bundles itself in another version: SQLite
// here, Rust's standard library in the other library.
#include "check.h"
#include <sqlite3.h>

extern int32_t other_panics_and_lives(void);

int main(void) {
  sqlite3 *database = NULL;
  CHECK(sqlite3_open(":memory:", &database) == SQLITE_OK);
  CHECK(sqlite3_exec(database, "create table t (x); insert into t values (1)", NULL, NULL, NULL) ==
        SQLITE_OK);
  CHECK(other_panics_and_lives() == 7);
  fencelock_client *client = connected();
  fencelock_lease *lease = taken(client, "beside");
  OK(fencelock_release(lease, &error));
  CHECK(fencelock_lease_free(lease) == FENCELOCK_OK);
  CHECK(fencelock_client_free(client) == FENCELOCK_OK);
  CHECK(sqlite3_close(database) == SQLITE_OK);
  return 0;
}
