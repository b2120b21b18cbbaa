-- grants: what the roles beside the owner may do; each start of the owner gives them what they lack, on new tables, too
-- tallybook_service     the HTTP service: reads all tables, writes sessions and when a key was used
-- tallybook_dashboard   Grafana: reads minutes of clicks
-- cost: a look at the catalogue; without these roles, or as another user than the owner, it does nothing
DO $$
DECLARE
    own name;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tallybook_service') THEN
        FOR own IN
            SELECT tablename FROM pg_tables
            WHERE tableowner = current_user AND schemaname = current_schema()
                AND NOT has_table_privilege('tallybook_service', format('%I.%I', schemaname, tablename), 'SELECT')
        LOOP
            EXECUTE format('GRANT SELECT ON %I TO tallybook_service', own);
        END LOOP;
        IF EXISTS (SELECT FROM pg_tables WHERE tablename = 'api_keys' AND tableowner = current_user AND schemaname = current_schema())
            AND NOT has_column_privilege('tallybook_service', 'api_keys', 'last_used_at', 'UPDATE') THEN
            GRANT UPDATE (last_used_at) ON api_keys TO tallybook_service;
        END IF;
        IF EXISTS (SELECT FROM pg_tables WHERE tablename = 'sessions' AND tableowner = current_user AND schemaname = current_schema())
            AND NOT has_table_privilege('tallybook_service', 'sessions', 'INSERT') THEN
            GRANT INSERT, DELETE ON sessions TO tallybook_service;
            GRANT UPDATE ON sessions_version TO tallybook_service;
        END IF;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tallybook_dashboard')
        AND EXISTS (SELECT FROM pg_tables WHERE tablename = 'click_stats' AND tableowner = current_user AND schemaname = current_schema())
        AND NOT has_table_privilege('tallybook_dashboard', 'click_stats', 'SELECT') THEN
        GRANT SELECT ON click_stats TO tallybook_dashboard;
    END IF;
END
$$
