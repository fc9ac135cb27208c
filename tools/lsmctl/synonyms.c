#include "synonyms.h"

#include <stddef.h>
#include <string.h>

// The names are one string with blanks around each.
struct synonym {
    const char *names;
    const char *answer;
};

static const struct synonym synonyms[] = {
    {" rm delete remove unset erase ", "`lsmctl del DB KEY` deletes a key"},
    {" new init mkdb make ", "`lsmctl create DB` makes an empty database"},
    {" set write insert add update store ", "`lsmctl put DB KEY VALUE` sets a key"},
    {" read cat fetch lookup ", "`lsmctl get DB KEY` prints the value of a key"},
    {" exists has ", "`lsmctl get DB KEY` exits with 3 when the key is not there"},
    {" ls keys ", "`lsmctl scan DB --keys-only` lists the keys"},
    {" list range iterate query select print ", "`lsmctl scan DB` prints keys and values in order"},
    {" wc length dbsize ", "`lsmctl count DB` counts the keys"},
    {" cp copy clone ", "`lsmctl dump DB | lsmctl load NEWDB` copies what is in a database"},
    {" backup export unload snapshot ",
     "`lsmctl dump DB > FILE` writes everything as text that `lsmctl load` takes"},
    {" restore import bulkload ", "`lsmctl load DB FILE` puts the entries of a file or a dump"},
    {" check fsck validate integrity_check scrub ",
     "`lsmctl verify DB` checks every file of a database"},
    {" repair recover fix rescue ",
     "`lsmctl salvage DB NEWDB` rebuilds what is intact; an open after a crash recovers by itself"},
    {" optimize optimise merge flush ", "`lsmctl compact DB` flushes and merges the tables"},
    {" vacuum shrink purge cleanup ",
     "`lsmctl compact DB` drops what tables need no more and says what stays in the value log; a "
     "copy by `lsmctl dump DB | lsmctl load NEWDB` leaves all of that behind"},
    {" du df size usage space ",
     "`lsmctl info DB` tells the size, `lsmctl keyspaces DB` who takes it"},
    {" status state health ", "`lsmctl info DB` shows everything at a glance"},
    {" top monitor metrics counters ",
     "`lsmctl stats DB` tells what is known of a running engine, `events DB -f` what it does"},
    {" unlock lock who ps fuser ", "`lsmctl info DB` tells which process has the database open"},
    {" tables sst ssts files ", "`lsmctl levels DB` shows the tables, `segments` the value log"},
    {" wal vlog ", "`lsmctl segments DB` shows the files of the log"},
    {" log logs journal slowlog tail watch ", "`lsmctl events DB -f` tells what the engine does"},
    {" databases dbs namespaces families ", "`lsmctl keyspaces DB` lists the keyspaces"},
    {" config settings conf ", "`lsmctl options DB` shows the options"},
    {" history versions ", "`lsmctl find DB KEY` shows every version of a key"},
    {" decode hexdump ", "`lsmctl inspect FILE` decodes a file of a database"},
    {" benchmark perf ", "`lsmctl bench DB` measures"},
};

const char *synonym_find(const char *typed)
{
    const size_t size = strlen(typed);

    for (size_t i = 0; size > 0 && i < sizeof synonyms / sizeof synonyms[0]; i++) {
        const char *at = synonyms[i].names;

        while ((at = strstr(at + 1, typed)) != NULL)
            if (at[-1] == ' ' && at[size] == ' ')
                return synonyms[i].answer;
    }
    return NULL;
}
