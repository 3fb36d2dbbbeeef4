"""Under which names applications keep what the workloads read; by workload, stream and field.

Data only: the names are compared without case and punctuation, the better ones first.
"""

from __future__ import annotations

from collections.abc import Mapping

Names = tuple[str, ...]


def _names(text: str) -> Names:
    return tuple(text.split())


_PRODUCT: Mapping[str, Names] = {
    "product_id": _names("product_id id _id uuid sku code article_no item_id asin ean"),
    "name": _names("name title product_name label product_title article item_name bezeichnung nom"),
    "description": _names(
        "description long_description short_description summary details body text content blurb"
    ),
    "brand": _names("brand manufacturer vendor maker brand_name"),
    "tags": _names("tags labels"),
    "keywords": _names("keywords search_terms"),
    "features": _names("features attributes specs"),
    "category": _names(
        "category category_name categories product_type type group department section collection"
        " kategorie category.name category_id"
    ),
    "price": _names(
        "price unit_price sale_price current_price regular_price list_price retail_price amount"
        " price_amount preis prix"
    ),
    "rating": _names("rating average_rating avg_rating stars score review_score mean_rating"),
    "status": _names(
        "status approval_status is_published published is_active active enabled visible visibility"
        " state online publish post_status"
    ),
}

NAMES: Mapping[tuple[str, str], Mapping[str, Names]] = {
    ("spare_parts", "appointments"): {
        "status": _names(
            "status state finished done completed is_done is_completed is_finished is_closed closed"
            " order_status appointment_status job_status fulfilled paid progress stage phase"
        ),
        "date": _names(
            "completed_date completed_at completed_on finished_on finished_at closed_at done_at"
            " service_date appointment_date date booked_for scheduled_for scheduled_at visit_date"
            " delivered_at invoiced_at paid_at placed_at performed_on order_date ordered_at"
            " starts_at start slot timestamp day created_at created_on"
        ),
        "spareParts": _names(
            "spare_parts parts parts_used used_parts materials lines line_items items positions"
            " components articles products order_lines"
        ),
        "name": _names(
            "part_name name label part title description item product_name article product material"
            " product.name part.name"
        ),
        "sku": _names("sku part_no part_number partnumber article_no item_no code product_code"),
        "quantity": _names("quantity qty pieces count amount units number menge anzahl n"),
    },
    ("spare_parts", "spare_parts"): {
        "name": _PRODUCT["name"],
        "sku": _names("sku part_no part_number article_no item_no code ean"),
        "price": _PRODUCT["price"],
    },
    ("product_similarity", "products"): _PRODUCT,
    ("product_recommender", "products"): _PRODUCT,
    ("product_recommender", "interactions"): {
        "user_id": _names(
            "user_id customer_id user customer buyer buyer_id client_id client member_id member"
            " account_id account shopper visitor_id visitorid user_pseudo_id"
            " anonymous_id profile_id"
            " person_id contact_id guest_id session_id session email user.id customer.id"
        ),
        "product_id": _names(
            "product_id product item_id item article_id article sku variant_id goods_id track_id"
            " movie_id movie book_id content_id asin product.id item.id"
        ),
        "items": _names("items line_items lines products order_items positions basket"),
        "type": _names(
            "type event event_type event_name action interaction_type interaction kind activity"
        ),
        "rating": _names("rating stars score review_score rate"),
        "timestamp": _names(
            "timestamp created_at event_time occurred_at ordered_at time ts date at placed_at"
            " purchased_at viewed_at clicked_at order_date created event_timestamp datetime"
        ),
        "dwell_time": _names("dwell_time time_spent time_spent_seconds duration engagement_time"),
    },
    ("server_metrics", "metrics"): {
        "server": _names(
            "server host hostname host_name server_name node instance machine server_id node_name"
            " host.name agent device vm"
        ),
        "timestamp": _names(
            "timestamp time ts at taken_at collected_at recorded_at sampled_at measured_at datetime"
            " created_at logged_at date"
        ),
        "cpu": _names(
            "cpu cpu_percent cpu_pct cpu_usage cpu_used_pct cpu_user_pct cpu_utilization cpu_load"
            " processor cpu_total"
        ),
        "memory": _names(
            "memory mem memory_percent memory_pct mem_pct mem_percent mem_used_pct memory_usage"
            " mem_usage ram ram_pct ram_percent"
        ),
        "disk": _names(
            "disk disk_percent disk_pct disk_usage disk_usage_pct fs_pct"
            " filesystem fs disk_used_pct"
            " root_pct storage_pct"
        ),
        "load": _names("load load1 load_1 load_avg load_average loadavg load_1m"),
    },
    ("solar_power", "readings"): {
        "device_id": _names(
            "device_id inverter inverter_id device plant_id plant site_id site"
            " meter_id meter serial"
            " serial_no serial_number sn unit_id station sensor_id logger panel_id name"
        ),
        "timestamp": _names(
            "timestamp ts time measured_at recorded_at taken_at read_at logged_at datetime at"
            " created_at date zeit"
        ),
        "status": _names("status state mode running operating_state online connected"),
        "power": _names(
            "power pac p_ac ac_power active_power power_w p watt watts output output_w pv_power"
            " generation current_power power_ac leistung production"
        ),
        "voltage": _names("voltage vdc u_dc v_dc dc_voltage pv_voltage vpv volt v voltage_v"),
        "current": _names("current idc i_dc dc_current pv_current ipv amp ampere current_a"),
        "lux": _names("lux light illuminance irradiance ghi radiation"),
        "temperature": _names("temperature temp t_ambient ambient_temperature temp_c"),
        "humidity": _names("humidity rh relative_humidity"),
        "servo_angle": _names("servo_angle angle tilt"),
        "fan_status": _names("fan_status fan fan_on"),
    },
}

STREAM_WORDS: Mapping[tuple[str, str], Names] = {
    ("spare_parts", "appointments"): _names(
        "appointment booking work order job repair service visit ticket"
        " maintenance invoice workshop"
    ),
    ("spare_parts", "spare_parts"): _names("part catalogue catalog component material"),
    ("product_similarity", "products"): _names("product item article catalog catalogue goods sku"),
    ("product_recommender", "products"): _names("product item article catalog catalogue goods sku"),
    ("product_recommender", "interactions"): _names(
        "interaction event order purchase sale view click cart rating review transaction basket"
    ),
    ("server_metrics", "metrics"): _names(
        "metric host server stat node system monitoring sample usage telemetry"
    ),
    ("solar_power", "readings"): _names(
        "reading inverter solar pv power log meter measurement generation plant energy"
    ),
}
"""Words in a table's name that speak for a stream."""

MEANINGS: Mapping[str, Names] = {
    "complete": _names(
        "completed complete done finished closed delivered paid fulfilled"
        " shipped invoiced processed"
        " resolved picked_up success erledigt abgeschlossen fertig termine completado"
    ),
    "approved": _names(
        "approved active published publish live enabled available visible public online instock"
        " in_stock listed for_sale onsale yes true ok"
    ),
    "online": _names(
        "online generating running producing on ok normal mppt active feeding feed_in working"
        " operating connected true"
    ),
    "purchase": _names(
        "purchase purchased buy bought order ordered sale transaction checkout order_completed paid"
    ),
    "view": _names(
        "view viewed pageview page_view product_view view_item click clicked detail impression"
    ),
    "add_to_cart": _names("add_to_cart addtocart cart product_added basket wishlist like favorite"),
    "rate": _names("rate rated rating review reviewed"),
    "return": _names("return returned refund refunded"),
}
"""Meaning -> words that applications use for it, beside those that the workload takes itself."""

CHANGE_TIMES = _names(
    "updated_at updated modified_at modified changed_at last_modified last_updated date_modified"
    " date_updated updated_on modified_on mtime last_change row_updated write_date"
)
"""Columns that grow with every change of a record."""

TOMBSTONES = _names("deleted_at is_deleted deleted removed_at date_deleted")
