#include "db/options_file.h"

#include <stdio.h>

#include "env/filename.h"

#define OPTIONS_FILE_SIZE_MAX (UINT64_C(1) << 20)

static lsm_status write_new(struct dir *dir, const char *name_new, lsm_slice bytes)
{
    struct file *file;
    lsm_status status;

    TRY(file_unlink(dir, name_new)); // left by a crash
    TRY(file_open(dir, name_new, FILE_CREATE, &file));
    status = file_write_one(file, 0, bytes);
    if (status == LSM_OK)
        status = file_sync(file);
    if (status != LSM_OK) {
        file_close_quietly(file); // the first failure is what counts
        return status;
    }
    return file_close(file);
}

// Writes `bytes` to `name_new` and renames it onto `name`.
static lsm_status replace_file(struct dir *dir, const char *name_new, const char *name,
                               lsm_slice bytes)
{
    TRY(write_new(dir, name_new, bytes));
    TRY(file_rename(dir, name_new, name));
    return dir_sync(dir);
}

lsm_status options_file_write(struct dir *dir, const struct lsm_options *kept)
{
    CLEANUP(lsm_buf_free) lsm_buf text = LSM_BUF_INIT;

    TRY(options_format_kept(kept, &text));
    return replace_file(dir, filename_of(FILENAME_OPTIONS_NEW, 0).text,
                        filename_of(FILENAME_OPTIONS, 0).text, slice_of_buf(&text));
}

// Reads the whole of a text file; `path` is for the words.
static lsm_status read_text(struct file *file, const char *path, lsm_buf *text)
{
    uint64_t size;

    TRY(file_size(file, &size));
    if (size > OPTIONS_FILE_SIZE_MAX)
        return lsm_fail(LSM_INVALID, "%s: %llu bytes are too many for an options file", path,
                        (unsigned long long)size);
    TRY(buf_reserve(text, (size_t)size + 1));
    TRY(file_read_exact(file, 0, text->data, (size_t)size));
    text->size = (size_t)size;
    return LSM_OK;
}

lsm_status options_file_read(struct dir *dir, struct lsm_options *kept)
{
    const struct filename name = filename_of(FILENAME_OPTIONS, 0);
    CLEANUP(file_closep) struct file *file = NULL;
    CLEANUP(lsm_buf_free) lsm_buf text = LSM_BUF_INIT;
    struct lsm_options found;
    char path[512];
    lsm_status status;

    options_init(&found);
    (void)snprintf(path, sizeof path, "%s/%s", dir->path, name.text);
    TRY(file_find(dir, name.text, FILE_READ, &file));
    if (file != NULL) { // otherwise nothing has been set so far
        status = read_text(file, path, &text);
        if (status == LSM_INVALID)
            return lsm_fail(LSM_CORRUPT, "%s", lsm_errmsg());
        TRY(status);
        TRY(options_parse_kept(&found, slice_of_buf(&text), path));
    }
    *kept = found;
    return LSM_OK;
}

lsm_status lsm_options_load_from_db(lsm_options *options, const char *path)
{
    CLEANUP(dir_closep) struct dir *dir = NULL;
    struct lsm_options kept;

    if (options == NULL || path == NULL)
        return lsm_fail(LSM_INVALID, "lsm_options_load_from_db: %s is NULL",
                        options == NULL ? "options" : "path");
    TRY(dir_open(env_posix(), path, false, &dir));
    TRY(options_file_read(dir, &kept));
    options_take(options, &kept);
    return LSM_OK;
}

// Splits `path` at its last slash and opens the directory part.
static lsm_status open_parent(const char *path, struct dir **dir, const char **name)
{
    const char *slash = strrchr(path, '/');
    CLEANUP(lsm_buf_free) lsm_buf parent = LSM_BUF_INIT;

    *name = slash == NULL ? path : slash + 1;
    if (slash == NULL)
        return dir_open(env_posix(), ".", false, dir);
    TRY(buf_append(&parent, path, slash == path ? 1 : (size_t)(slash - path)));
    TRY(buf_append_u8(&parent, 0));
    return dir_open(env_posix(), parent.data, false, dir);
}

lsm_status lsm_options_save(const lsm_options *options, const char *path)
{
    CLEANUP(dir_closep) struct dir *dir = NULL;
    CLEANUP(lsm_buf_free) lsm_buf text = LSM_BUF_INIT;
    CLEANUP(lsm_buf_free) lsm_buf name_new = LSM_BUF_INIT;
    const char *name;

    if (options == NULL || path == NULL)
        return lsm_fail(LSM_INVALID, "lsm_options_save: %s is NULL",
                        options == NULL ? "options" : "path");
    TRY(options_format(options, &text));
    TRY(open_parent(path, &dir, &name));
    TRY(buf_append(&name_new, name, strlen(name)));
    TRY(buf_append(&name_new, ".new", sizeof ".new"));
    return replace_file(dir, name_new.data, name, slice_of_buf(&text));
}

lsm_status lsm_options_load(lsm_options *options, const char *path)
{
    CLEANUP(dir_closep) struct dir *dir = NULL;
    CLEANUP(file_closep) struct file *file = NULL;
    CLEANUP(lsm_buf_free) lsm_buf text = LSM_BUF_INIT;
    const char *name;

    if (options == NULL || path == NULL)
        return lsm_fail(LSM_INVALID, "lsm_options_load: %s is NULL",
                        options == NULL ? "options" : "path");
    TRY(open_parent(path, &dir, &name));
    TRY(file_open(dir, name, FILE_READ, &file));
    TRY(read_text(file, path, &text));
    return options_parse(options, slice_of_buf(&text), path);
}
