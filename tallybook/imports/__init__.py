"""Import files that people made: read in bounded memory, and checked.

file_bytes      bytes as UTF-8, unpacked and bounded
csv_file        delimiter, escapes and first row of a CSV file
list_file       banners and trackers, a row each
link_file       redirect links, a row each
event_layout    where the columns of an event stand
foreign_values  values as other products export them
event_file      batches of checked events
importer        batches into the table, each id once, resumable"""
