# What an application has set for its database survives the visits of lsmctl.
for i in 1 2 3 4; do
    "$lsmctl" put db doc "rev$i" -q --create -o versions_to_keep=10
done
t put db doc rev5 -v
"$lsmctl" compact db -q
t scan db --versions
t put db doc rev6 --once versions_to_keep=20 -v
t get db doc -v
"$lsmctl" options db | grep '^versions_to_keep' | tr -s ' '
"$lsmctl" options db | grep '^sync ' | tr -s ' '
t put db doc rev7 -o versions_to_keep=default -v
t put db doc rev8 -o versions_to_keep
t put db doc rev8 --once versions_to_keep=0
t options nothing
echo 'versions_to_keep = many' >db/OPTIONS
t put db doc rev8
t get db doc
